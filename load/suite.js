// What every suite has in common: its users, its thresholds, whom it asks for, and what becomes of the figures.
import { SharedArray } from 'k6/data';
import exec from 'k6/execution';
import { Rate } from 'k6/metrics';

export const suite = JSON.parse(open('./suites.json'))[__ENV.SUITE];
const plan = JSON.parse(open(__ENV.PLAN));
const people = new SharedArray('people', () => JSON.parse(open(__ENV.PLAN)).people);

export const address = plan.address;
export const shares = Object.entries(plan.shares);
export const hits = new Rate('cache_hits');

const held = suite.users.slice(1).map((users) => Math.min(users, Number(__ENV.USERS || users)));

export const options = {
  scenarios: {
    users: {
      executor: 'ramping-vus',
      startVUs: suite.users[0],
      // Of each stage a quarter is the way up to it.
      stages: held.flatMap((target) => [
        { duration: `${Number(__ENV.SECONDS) * 250}ms`, target },
        { duration: `${Number(__ENV.SECONDS) * 750}ms`, target },
      ]),
      gracefulRampDown: '10s',
      gracefulStop: '30s',
    },
  },
  thresholds: { ...Object.fromEntries(shares.map(([name]) => [`http_req_duration{name:${name}}`, []])), ...suite.thresholds },
  noCookiesReset: true, // a browser keeps them: they say what the user has written
  summaryTrendStats: ['count', 'avg', 'med', 'p(95)', 'p(99)', 'max'],
  systemTags: ['name', 'method', 'status', 'error_code', 'scenario', 'expected_response'],
};

// Each user is somebody else for as long as there are so many.
export const someone = () => people[(exec.vu.idInTest - 1) % people.length];

export const among = (list) => list[Math.floor(Math.random() * list.length)];

// People do not ask at the same moments.
export const pause = () => suite.pause * (0.5 + Math.random()) * Number(__ENV.PAUSES);

export function handleSummary(data) {
  return { [__ENV.SUMMARY]: JSON.stringify(data) };
}
