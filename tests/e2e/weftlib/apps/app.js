// SPDX-License-Identifier: Apache-2.0
// Node's own http, server and client.
'use strict';
const fs = require('fs');
const TLS = process.env.TLS; // a directory with cert.pem and key.pem
const http = require(TLS ? 'https' : 'http');
const served = process.env.H2 ? require('http2') : http; // HTTP/2 in clear
const net = require('net');

const env = (name, other) => Number(process.env[name] || other);
const NEXT = env('NEXT', 0), DEAD = env('DEAD', 9), POOL = env('POOL', 0), BEAT = env('BACKGROUND_MS', 0);
const file = name => fs.readFileSync(`${TLS}/${name}.pem`);
// maxCachedSessions: each handshake is a whole one, as between strangers
const secure = TLS ? { ca: file('cert'), servername: 'localhost', maxCachedSessions: 0 } : {};
const pool = new http.Agent(POOL ? { keepAlive: true, maxSockets: POOL, ...secure } : secure);
const lone = new http.Agent(secure);

const fetch = (path, agent = pool) => new Promise((resolve, reject) => {
	http.get({ host: '127.0.0.1', port: NEXT, path, agent }, reply => {
		reply.resume();
		reply.on('end', () => resolve(reply.statusCode));
	}).on('error', reject);
});
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const refused = address => new Promise(resolve => {
	net.connect(DEAD, address).on('error', resolve).on('connect', resolve);
});

async function work(url) {
	const [op, token, address] = url.split('?')[0].slice(1).split('/');
	switch (op) {
	case 'call':
		await fetch(`/leaf/${token}`);
		break;
	case 'fan':
		await Promise.all(['a', 'b'].map(x => fetch(`/leaf/${token}.${x}`, lone)));
		break;
	case 'timer':
		await sleep(3);
		await fetch(`/leaf/${token}`);
		break;
	case 'retry':
		if (await fetch(`/fail/${token}.1`) === 503)
			await fetch(`/leaf/${token}.2`);
		break;
	case 'refuse':
		await refused(address);
		await fetch(`/leaf/${token}.2`);
		break;
	case 'after':
		return () => fetch(`/leaf/${token}.after`);
	}
}

served.createServer(TLS ? { cert: file('cert'), key: file('key') } : {}, async (request, reply) => {
	const after = await work(request.url);
	reply.writeHead(200, { 'Content-Length': 3 });
	// an HTTP/2 stream is finished before it is sent
	if (after)
		reply.on(process.env.H2 ? 'close' : 'finish', after);
	reply.end('ok\n');
}).listen(env('PORT'), '127.0.0.1', 256).keepAliveTimeout = 60000; // emulated, weft starts in eight seconds

let n = 0;
if (BEAT)
	setInterval(() => fetch(`/leaf/bg.${++n}`, lone), BEAT);
