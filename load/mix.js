// Users of a service, who read by the shares of its pages and write now and then.
import { check, sleep } from 'k6';
import http from 'k6/http';
import { address, among, hits, pause, shares, someone, suite } from './suite.js';

export { handleSummary, options } from './suite.js';

function page() {
  let left = Math.random() * shares.reduce((sum, [, share]) => sum + share, 0);
  return (shares.find(([, share]) => (left -= share) < 0) || shares[0])[0];
}

// Whether an answer was there already, or was under way for somebody else; undefined where it does not say.
function wasKept(response) {
  const status = response.headers['Cache-Status'];
  if (status !== undefined) return /;\s*(hit|collapsed)\b/.test(status);
  const told = /"cacheInfo":\{"status":"(\w+)"/.exec(response.body);
  return told === null ? undefined : told[1] === 'hit';
}

export default function () {
  const person = someone();
  const writing = person.writes.length > 0 && Math.random() < suite.writes;
  const { name, method, target, headers, body } = among(writing ? person.writes : person.reads[page()]);
  const response = http.request(method, address + target, body, { headers, tags: { name } });
  check(response, {
    'is answered': (r) => r.status >= 200 && r.status < 300,
    'is JSON': (r) => (r.headers['Content-Type'] || '').startsWith('application/json'),
  });
  const kept = writing || response.status !== 200 ? undefined : wasKept(response);
  if (kept !== undefined) hits.add(kept);
  sleep(pause());
}
