/** The WebSocket of Node: its own from version 22 on, before that the one of the package `ws`. */
import { createRequire } from 'node:module';
import { platformWebSocket as globalWebSocket, type WebSocketConstructor } from './websocket.js';

type WsConstructor = new (url: string, protocols: string, options: object) => InstanceType<WebSocketConstructor>;

export function platformWebSocket(): WebSocketConstructor {
  return globalWebSocket() ?? wsPackage();
}

// Required only where it is needed, so that newer versions of Node never load it.
function wsPackage(): WebSocketConstructor {
  const Ws: WsConstructor = createRequire(import.meta.url)('ws');
  return class extends Ws {
    constructor(url: string, protocols: string) {
      // Compression costs more CPU than it saves on publications of some hundred bytes, and `ws` would offer it.
      super(url, protocols, { perMessageDeflate: false });
    }
  };
}
