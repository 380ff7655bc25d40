"""Python's `jira` against the fixed-answer server: creates, reads and searches, one after the other, a while each.

Environment: BASE_URL, SECONDS. Prints one JSON line: microseconds of processor time each, and how many a second.
"""

import json
import os
import time

from jira import JIRA

SECONDS = float(os.environ["SECONDS"])
JIRA_CLIENT = JIRA(
    server=os.environ["BASE_URL"],
    basic_auth=("administrator@example.test", "obviously-fake-token"),
    max_retries=0,
)


def create():
    fields = {
        "project": {"key": "DEMO"},
        "issuetype": {"name": "Bug"},
        "summary": "The door does not close",
        "description": "Seen *twice* this week, and nobody knows why.",
    }
    # Without `prefetch` it would read what it created: a second request that nobody else makes.
    return JIRA_CLIENT.create_issue(fields=fields, prefetch=False).key


def get():
    return JIRA_CLIENT.issue("DEMO-1").key


def search():
    return JIRA_CLIENT.search_issues("project = DEMO ORDER BY created DESC", maxResults=50)[0].key


def for_a_while(work, seconds):
    until, done = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        assert work() == "DEMO-1", "not the answer that was due"
        done += 1
    return done


def main():
    told = {}
    for work in (create, get, search):
        for_a_while(work, 0.3 * SECONDS)
        began, cpu = time.monotonic(), time.process_time()
        done = for_a_while(work, SECONDS)
        told[work.__name__] = {
            "cpu-us": (time.process_time() - cpu) * 1e6 / done,
            "rate": done / (time.monotonic() - began),
        }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
