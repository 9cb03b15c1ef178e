// Users who ask what documents say, and read the answers as they stream.
import { check, sleep } from 'k6';
import http from 'k6/http';
import { Trend } from 'k6/metrics';
import { address, hits, pause, someone } from './suite.js';

export { handleSummary, options } from './suite.js';

const firstChunk = new Trend('first_chunk', true);

function events(body) {
  return body
    .split('\n\n')
    .map((block) => Object.fromEntries(block.split('\n').map((line) => [line.split(': ')[0], line.slice(line.indexOf(': ') + 2)])))
    .filter((event) => event.event !== undefined);
}

export default function () {
  const { reads, headers } = someone();
  // Some questions are asked more often than others, as in life.
  const { name, target } = reads.questions[Math.floor(reads.questions.length * Math.random() * Math.random())];
  const response = http.get(address + target, { headers, tags: { name } });
  const told = events(response.body || '');
  const names = told.map(({ event }) => event);
  const answered = check(response, {
    'is answered': (r) => r.status === 200,
    'is a stream': (r) => (r.headers['Content-Type'] || '').startsWith('text/event-stream'),
    'is whole': () => names[0] === 'start' && names.includes('sources') && names[names.length - 1] === 'done',
  });
  if (answered) {
    // k6 shows a body when it has all of it. The first chunk came before: no answer passes that should not. Where the
    // documents say nothing there is none.
    if (names.includes('chunk')) firstChunk.add(response.timings.duration);
    hits.add(['exact', 'similar'].includes(JSON.parse(told.find(({ event }) => event === 'cache').data).outcome));
  }
  sleep(pause());
}
