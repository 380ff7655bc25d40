// npm's `jira.js` against the fixed-answer server: creates, reads and searches, 32 at once, a while each.
// Environment: BASE_URL, SECONDS. Prints one JSON line: microseconds of processor time each, and how many a second.
import { Version3Client } from 'jira.js';

const seconds = Number(process.env.SECONDS);
const jira = new Version3Client({
  host: process.env.BASE_URL,
  authentication: { basic: { email: 'administrator@example.test', apiToken: 'obviously-fake-token' } },
});

const description = {
  type: 'doc',
  version: 1,
  content: [{
    type: 'paragraph',
    content: [
      { type: 'text', text: 'Seen ' },
      { type: 'text', text: 'twice', marks: [{ type: 'strong' }] },
      { type: 'text', text: ' this week, and nobody knows why.' },
    ],
  }],
};

const works = {
  create: async () => {
    const fields = {
      project: { key: 'DEMO' },
      issuetype: { name: 'Bug' },
      summary: 'The door does not close',
      description,
    };
    return (await jira.issues.createIssue({ fields })).key;
  },
  get: async () => (await jira.issues.getIssue({ issueIdOrKey: 'DEMO-1' })).key,
  search: async () => {
    const page = await jira.issueSearch.searchForIssuesUsingJqlEnhancedSearch({
      jql: 'project = DEMO ORDER BY created DESC',
      maxResults: 50,
    });
    return page.issues[0].key;
  },
};

async function forAWhile(work, milliseconds) {
  const until = performance.now() + milliseconds;
  let done = 0;
  const one = async () => {
    while (performance.now() < until) {
      if (await work() !== 'DEMO-1') throw new Error('not the answer that was due');
      done += 1;
    }
  };
  await Promise.all(Array.from({ length: 32 }, one));
  return done;
}

const told = {};
for (const [name, work] of Object.entries(works)) {
  await forAWhile(work, 300 * seconds);
  const [began, cpu] = [performance.now(), process.cpuUsage()];
  const done = await forAWhile(work, 1000 * seconds);
  const { user, system } = process.cpuUsage(cpu);
  told[name] = { 'cpu-us': (user + system) / done, rate: (done * 1000) / (performance.now() - began) };
}
console.log(JSON.stringify(told));
process.exit(0);
