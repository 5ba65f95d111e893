<?php
// SPDX-License-Identifier: Apache-2.0
// PHP's built-in server: a process a request.

function ask(string $path)
{
	$sock = stream_socket_client('tcp://127.0.0.1:' . getenv('NEXT'), $errno, $error, 20);
	fwrite($sock, "GET $path HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n");
	return $sock;
}

function answer($sock): int
{
	$reply = stream_get_contents($sock);
	fclose($sock);
	return (int)substr($reply, 9, 3);
}

[, $op, $token, $address] = explode('/', parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) + [3 => ''];
switch ($op) {
case 'call':
	answer(ask("/leaf/$token"));
	break;
case 'fan':
	$both = [ask("/leaf/$token.a"), ask("/leaf/$token.b")];
	array_map('answer', $both);
	break;
case 'timer':
	usleep(3000);
	answer(ask("/leaf/$token"));
	break;
case 'retry':
	if (answer(ask("/fail/$token.1")) === 503)
		answer(ask("/leaf/$token.2"));
	break;
case 'refuse':
	@stream_socket_client("tcp://$address:" . getenv('DEAD'), $errno, $error, 5);
	answer(ask("/leaf/$token.2"));
	break;
}
header('Content-Length: 3');
echo "ok\n";
if ($op === 'after') {
	while (ob_get_level())
		ob_end_flush();
	flush();
	answer(ask("/leaf/$token.after"));
}
