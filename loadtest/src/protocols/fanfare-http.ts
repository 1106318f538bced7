/** Publishing to Fanfare over HTTP: one publication in a request, or a batch as NDJSON. Each request waits for its answer. */
import { blankData, stampMark } from '@fanfare/kit/stamp';
import { explainRefusal, readAnswers, requestHead } from './http-answers.js';
import type { Protocol } from './protocol.js';

const single: Protocol = {
  transport: 'tcp',
  isBinary: false,
  subprotocol: null,
  isAcknowledged: true,
  isInTurn: true,
  path: () => '',
  hello: () => null,
  subscribe: () => null,
  unsubscribe: () => null,
  publication(topic, publicationBytes, target) {
    // The quotes around it are part of the data.
    const body = JSON.stringify(blankData(publicationBytes - 2));
    const head = requestHead('POST', `/v1/topics/${encodeURIComponent(topic)}/publications`, target, {
      'Content-Type': 'application/json',
      'Content-Length': body.length,
    });
    const message = Buffer.from(head + body, 'latin1');
    return { message, stampAt: message.indexOf(stampMark) };
  },
  reader: (_, events) =>
    readAnswers(({ status, head }, bytes, start, end) => {
      // 201 and 202 of Nchan: with and without a subscriber.
      if (status === 200 || status === 201 || status === 202) events.acknowledged(1);
      else events.refused(explainRefusal(head, Buffer.from(bytes.subarray(start, end)).toString()));
    }),
};

export const httpPublisher = single;

export const httpBatchPublisher: Protocol = {
  ...single,
  isJoined: true,
  publication(topic, publicationBytes) {
    const line = JSON.stringify({ topic, data: blankData(publicationBytes - 2) });
    const message = Buffer.from(`${line}\n`, 'latin1');
    return { message, stampAt: message.indexOf(stampMark) };
  },
  wrap(publications, target) {
    const head = requestHead('POST', '/v1/publications', target, {
      'Content-Type': 'application/x-ndjson',
      'Content-Length': publications.length,
    });
    return Buffer.concat([Buffer.from(head, 'latin1'), publications]);
  },
};
