// npm's `jira.js` client against a Jira: create, read, update, search, comment.
// Environment: BASE_URL, EMAIL, TOKEN. Prints one JSON line; exit 0 when everything held, 1 otherwise.
import { Version3Client } from 'jira.js';

function report(passed, detail) {
  const name = 'create, read, update, search and comment an issue';
  console.log(JSON.stringify({ host: 'jira.js', case: name, passed, detail }));
}

function must(held, what) {
  if (!held) {
    report(false, what);
    process.exit(1);
  }
}

const text = (value) => ({
  type: 'doc',
  version: 1,
  content: [{ type: 'paragraph', content: [{ type: 'text', text: value }] }],
});

const jira = new Version3Client({
  host: process.env.BASE_URL,
  authentication: { basic: { email: process.env.EMAIL, apiToken: process.env.TOKEN } },
});

try {
  const me = await jira.myself.getCurrentUser();
  must(me.displayName === 'Administrator', 'myself is not the administrator');

  const created = await jira.issues.createIssue({
    fields: {
      project: { key: 'DEMO' },
      issuetype: { name: 'Story' },
      summary: 'Made by jira.js',
      description: text('One line'),
    },
  });
  let issue = await jira.issues.getIssue({ issueIdOrKey: created.key });
  must(issue.fields.summary === 'Made by jira.js', 'the summary was not read back');

  await jira.issues.editIssue({ issueIdOrKey: created.key, fields: { summary: 'Changed by jira.js', labels: ['from-js'] } });
  issue = await jira.issues.getIssue({ issueIdOrKey: created.key });
  must(issue.fields.summary === 'Changed by jira.js', 'the update did not change the summary');
  must(issue.fields.labels[0] === 'from-js', 'the update did not set the labels');

  const comment = await jira.issueComments.addComment({ issueIdOrKey: created.key, comment: text('A comment by jira.js') });
  const comments = await jira.issueComments.getComments({ issueIdOrKey: created.key });
  must(comments.comments.length === 1 && comments.comments[0].id === comment.id, 'the comment is not listed');

  const found = await jira.issueSearch.searchForIssuesUsingJqlEnhancedSearch({
    jql: `key = ${created.key}`,
    fields: ['summary'],
  });
  must(found.issues.length === 1 && found.issues[0].key === created.key, 'the search did not find the issue');
  report(true, created.key);
} catch (error) {
  must(false, error.message ?? String(error));
}
