"""Python's `jira` client against a Jira: create, read, update, search, comment.

Environment: BASE_URL, EMAIL, TOKEN. Prints one JSON line; exit 0 when everything held, 1 otherwise.
"""

import json
import os
import sys

from jira import JIRA


def must(held, what):
    if not held:
        report(False, what)
        sys.exit(1)


def report(passed, detail):
    case = "create, read, update, search, comment and move an issue"
    print(json.dumps({"host": "python-jira", "case": case, "passed": passed, "detail": detail}))


def main():
    jira = JIRA(
        server=os.environ["BASE_URL"],
        basic_auth=(os.environ["EMAIL"], os.environ["TOKEN"]),
        max_retries=0,
    )
    must(jira.myself()["displayName"] == "Administrator", "myself is not the administrator")
    must("DEMO" in [project.key for project in jira.projects()], "the project DEMO is not listed")

    issue = jira.create_issue(
        project="DEMO", issuetype={"name": "Bug"}, summary="Made by python jira", description="One line"
    )
    must(jira.issue(issue.key).fields.summary == "Made by python jira", "the summary was not read back")
    must(issue.fields.description == "One line", "the description was not read back")

    issue.update(summary="Changed by python jira", fields={"labels": ["from-python"]})
    issue = jira.issue(issue.key)
    must(issue.fields.summary == "Changed by python jira", "the update did not change the summary")
    must(issue.fields.labels == ["from-python"], "the update did not set the labels")

    comment = jira.add_comment(issue, "A comment by python jira")
    must(comment.body == "A comment by python jira", "the comment was not answered")
    must([c.id for c in jira.comments(issue)] == [comment.id], "the comment is not listed")

    found = jira.search_issues(f"key = {issue.key}", fields="summary")
    must([i.key for i in found] == [issue.key], "the search did not find the issue")
    must(found[0].fields.summary == "Changed by python jira", "the search did not return the summary")

    names = {t["name"]: t["id"] for t in jira.transitions(issue)}
    must("In Progress" in names, f"the transitions are {sorted(names)}")
    jira.transition_issue(issue, "In Progress")
    must(jira.issue(issue.key).fields.status.name == "In Progress", "the transition did not change the status")
    report(True, issue.key)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:  # whatever the client makes of an answer it did not expect
        must(False, f"{type(error).__name__}: {error}")
