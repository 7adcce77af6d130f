// A viewer of a live page: reads server-sent events as a browser does, but shows what it got.
import http from 'node:http';
import { waitFor } from './wait.mjs';

export class Viewer {
  events = [];
  comments = 0;
  ended = false;

  // Resolves with the answer's head, whatever its status. A connection of its own: one that was kept may just be closing.
  static open(url, { lastEventId, socketPath } = {}) {
    const viewer = new Viewer();
    return new Promise((resolve, reject) => {
      viewer.sent = http.get(url, { agent: false, socketPath, headers: { Accept: 'text/event-stream', ...(lastEventId ? { 'Last-Event-ID': lastEventId } : {}) } }, (response) => {
        Object.assign(viewer, { response, status: response.statusCode, headers: response.headers });
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (chunk) => {
          text += chunk;
          for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
            viewer.#block(text.slice(0, end));
            text = text.slice(end + 2);
          }
        });
        response.on('end', () => { viewer.ended = true; });
        response.on('error', () => { viewer.broken = true; });
        resolve(viewer);
      });
      viewer.sent.on('error', (error) => { viewer.broken = true; reject(error); });
    });
  }

  #block(block) {
    const fields = {};
    for (const line of block.split('\n')) {
      const colon = line.indexOf(':');
      if (colon === 0) this.comments += 1;
      else fields[line.slice(0, colon)] = line.slice(colon + 1).trimStart();
    }
    if (fields.retry) this.retry = Number(fields.retry);
    if (fields.data) this.events.push({ event: fields.event, id: fields.id, ...JSON.parse(fields.data) });
  }

  get last() {
    return this.events.at(-1);
  }

  // The newest event, once it has these values.
  sees(values, options) {
    return waitFor(() => Object.entries(values).every(([name, value]) => this.last?.[name] === value) && this.last,
      { what: `an event with ${JSON.stringify(values)}`, ...options });
  }

  close() {
    this.sent.destroy();
  }
}
