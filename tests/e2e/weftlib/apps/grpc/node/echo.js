// SPDX-License-Identifier: Apache-2.0
// What ../echo.py does, in JavaScript.
'use strict';
const fs = require('fs');
const grpc = require('@grpc/grpc-js');

const TLS = process.env.TLS; // a directory with cert.pem and key.pem
const file = (name) => fs.readFileSync(`${TLS}/${name}.pem`);

const COUNT = 3;
const STREAMS = { Down: [false, true], Up: [true, false], Both: [true, true] };
const same = (bytes) => bytes;
const methods = {};
for (const name of ['Unary', 'Pass', 'Fail', 'Down', 'Up', 'Both', 'None']) {
  const [requestStream, responseStream] = STREAMS[name] || [false, false];
  methods[name] = { path: `/t.Echo/${name}`, requestStream, responseStream, requestSerialize: same,
    requestDeserialize: same, responseSerialize: same, responseDeserialize: same };
}
const Client = grpc.makeGenericClientConstructor(methods, 't.Echo');
const tokened = (token) => {
  const metadata = new grpc.Metadata();
  metadata.set('x-number', token);
  return metadata;
};
const dial = (port) => new Client(`127.0.0.1:${port}`,
  TLS ? grpc.credentials.createSsl(file('cert')) : grpc.credentials.createInsecure());

function serve(port, next) {
  const client = next && dial(next);
  const { None, ...served } = methods;
  const server = new grpc.Server();
  server.addService(served, {
    Unary: (call, done) => done(null, call.request),
    Pass: (call, done) => client.Unary(call.request, tokened(call.metadata.get('x-number')[0]), done),
    Fail: (call, done) => done({ code: grpc.status.NOT_FOUND, details: 'no such thing' }),
    Down: (call) => { for (let i = 0; i < COUNT; i++) call.write(call.request); call.end(); },
    Up: (call, done) => {
      const all = [];
      call.on('data', (m) => all.push(m));
      call.on('end', () => done(null, Buffer.concat(all)));
    },
    Both: (call) => { call.on('data', (m) => call.write(m)); call.on('end', () => call.end()); },
  });
  const pair = TLS && { private_key: file('key'), cert_chain: file('cert') };
  const credentials = TLS ? grpc.ServerCredentials.createSsl(null, [pair]) : grpc.ServerCredentials.createInsecure();
  server.bindAsync(`127.0.0.1:${port}`, credentials, (err) => { if (err) throw err; });
  process.on('SIGTERM', () => process.exit(0));
}

function ask(client, name, message, token) {
  const [up, down] = STREAMS[name] || [false, false];
  return new Promise((resolve, reject) => {
    const refused = (e) => e.code === grpc.status.NOT_FOUND || e.code === grpc.status.UNIMPLEMENTED;
    const over = (err, reply) => {
      if (err && (name === 'Fail' || name === 'None') && refused(err)) return resolve();
      const want = message.length * (up ? COUNT : 1);
      return err ? reject(err) : reply.length === want ? resolve() : reject(new Error('another reply'));
    };
    const args = [...(up ? [] : [message]), tokened(token), ...(down ? [] : [over])];
    const call = client[name](...args);
    if (up) { for (let i = 0; i < COUNT; i++) call.write(message); call.end(); }
    if (down) {
      let got = 0;
      call.on('data', () => { got++; });
      call.on('error', reject);
      call.on('end', () => (got === COUNT ? resolve() : reject(new Error(`${got} replies`))));
    }
  });
}

async function main([what, port, name, n, atOnce, size]) {
  if (what === 'serve') return serve(port, name);
  const client = dial(port);
  for (const one of name.split(',')) {
    let left = Number(n);
    const work = async () => {
      while (left-- > 0) await ask(client, one, Buffer.alloc(Number(size), 'x'), `${one}-${left}`);
    };
    await Promise.all(Array.from({ length: Number(atOnce) }, work));
  }
  return client.close();
}

main(process.argv.slice(2)).catch((e) => { console.error(e); process.exit(1); });
