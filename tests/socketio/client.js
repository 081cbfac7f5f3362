// A Socket.IO client on standard input and output:
//     node client.js '{"version": 4, "url": ..., "options": {...}}'
// In comes one JSON object a line: {"do": "emit", "args": [...], "ack": 1}, {"do": "close"} ...
// Out goes one a line for everything that happens: {"is": "connect", ...}.
// Bytes are {"$bytes": "<base64>"} either way.
'use strict';

const readline = require('readline');

const { version, url, options } = JSON.parse(process.argv[2]);
const { io } = version === 4 ? require('socket.io-client')
  : { io: require('socket.io-client-v2') };

function decode(value) {
  if (Array.isArray(value)) {
    return value.map(decode);
  }
  if (value && typeof value === 'object') {
    return '$bytes' in value ? Buffer.from(value.$bytes, 'base64')
      : Object.fromEntries(Object.entries(value).map(([k, v]) => [k, decode(v)]));
  }
  return value;
}

function say(is, more) {
  process.stdout.write(`${JSON.stringify({ is, ...more })}\n`);
}

function reason(error) {
  const described = error && error.description;
  const status = described && (described.status || described);
  return { message: String((error && error.message) || error),
    status: typeof status === 'number' ? status : null };
}

const socket = io(url, options);
const manager = socket.io;

manager.on('open', () => {
  const engine = manager.engine;
  say('open', { sid: engine.id, transport: engine.transport.name });
  engine.on('upgrade', (transport) => say('upgrade', { transport: transport.name }));
});
socket.on('connect', () => say('connect', { id: socket.id }));
socket.on('connect_error', (error) => say('connect_error', reason(error)));
socket.on('error', (error) => say('error', { message: String(error.message || error), error }));
socket.on('disconnect', (why) => say('disconnect', { reason: why }));
socket.on('v1', (data) => say('v1', { data }));

const actions = {
  emit({ args, ack }) {
    const values = decode(args);
    if (ack !== undefined) {
      values.push((data) => say('ack', { ack, data }));
    }
    socket.emit(...values);
  },
  // A line of somebody's program.
  run({ code }) {
    new Function('socket', code)(socket);
  },
  // Heartbeats of this client are lost from now on; it does not give up by itself.
  silence() {
    const engine = manager.engine;
    engine.pingTimeout = 3600000; // of version 2, which misses the pongs
    const name = version === 4 ? '_sendPacket' : 'sendPacket';
    const send = engine[name].bind(engine);
    engine[name] = (type, ...more) => {
      if (type !== 'ping' && type !== 'pong') {
        send(type, ...more);
      }
    };
  },
  disconnect() {
    socket.disconnect();
  },
  connect() {
    socket.connect();
  },
  other({ name }) {
    const other = manager.socket(name, options);
    other.on('connect', () => say('other_connect', {}));
    other.on('connect_error', (error) => say('other_refused', reason(error)));
    other.on('error', (error) => say('other_refused', reason(error)));
    other.connect();
  },
};

readline.createInterface({ input: process.stdin })
  .on('line', (line) => {
    const order = JSON.parse(line);
    actions[order.do](order);
  })
  .on('close', () => process.exit(0));
say('ready', {});
