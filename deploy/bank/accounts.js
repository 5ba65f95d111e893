// SPDX-License-Identifier: Apache-2.0
// Accounts: balances, and debits that change them.
'use strict';
const http = require('http');

const accounts = new Map([
	['1001', { owner: 'Ada', balance: 90000, blocked: false }],
	['1002', { owner: 'Grace', balance: 50000, blocked: false }],
	['1003', { owner: 'Linus', balance: 5, blocked: false }],
	['1004', { owner: 'Mallory', balance: 1000, blocked: true }],
]);

async function read(request) {
	let text = '';
	for await (const part of request)
		text += part;
	return text ? JSON.parse(text) : {};
}

async function answer(request) {
	const [, , number, what] = request.url.split('/');
	const account = accounts.get(number);

	if (!account)
		return [404, { error: 'no such account' }];
	if (request.method === 'GET' && !what)
		return [200, { owner: account.owner, balance: account.balance }];
	if (request.method !== 'POST' || what !== 'debits')
		return [405, { error: 'no such operation' }];
	const { amount } = await read(request);
	if (account.blocked)
		return [409, { error: 'account is blocked' }];
	account.balance -= amount;
	return [201, { balance: account.balance }];
}

http.createServer(async (request, reply) => {
	const [status, body] = await answer(request);
	const text = JSON.stringify(body);

	reply.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
	reply.end(text);
}).listen(Number(process.env.PORT), '127.0.0.1');
