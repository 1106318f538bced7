/** The two encodings of the protocol and where they are spoken. */

/** Part of the names of the subprotocols. */
export const protocolVersion = 1;

/** WebSocket subprotocols (RFC 6455 section 1.9): MessagePack in binary frames, JSON in text frames. */
export const subprotocols = { msgpack: 'fanfare.v1.msgpack', json: 'fanfare.v1.json' } as const;

export type Encoding = keyof typeof subprotocols;

/** Path of the WebSocket endpoint. */
export const endpointPath = '/ws';
