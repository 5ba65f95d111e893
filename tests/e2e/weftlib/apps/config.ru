# SPDX-License-Identifier: Apache-2.0
# For puma: a thread a connection.
require 'socket'
require 'net/http'
require 'openssl'

NEXT = ENV.fetch('NEXT', 0).to_i
DEAD = ENV.fetch('DEAD', 9).to_i
POOL = Queue.new
ENV.fetch('POOL', 0).to_i.times { POOL << nil }

TLS = ENV['TLS'] # a directory with cert.pem and key.pem

def start
  secure = TLS ? { use_ssl: true, ca_file: "#{TLS}/cert.pem" } : {}
  Net::HTTP.start(TLS ? 'localhost' : '127.0.0.1', NEXT, keep_alive_timeout: 60, **secure)
end

def fetch(path)
  if ENV.fetch('POOL', '0') == '0'
    http = start
    begin
      return http.get(path).code.to_i
    ensure
      http.finish
    end
  end
  http = POOL.pop
  begin
    http ||= start
    http.get(path).code.to_i
  ensure
    POOL << http
  end
end

def fan(paths)
  socks = paths.map do |path|
    sock = TCPSocket.new('127.0.0.1', NEXT)
    if TLS
      sock = OpenSSL::SSL::SSLSocket.new(sock)
      sock.sync_close = true
      sock.connect
    end
    sock.write("GET #{path} HTTP/1.1\r\nHost: next\r\nConnection: close\r\n\r\n")
    sock
  end
  socks.each { |sock| sock.read; sock.close }
end

# puma closes the body once the reply is out.
Reply = Struct.new(:after) do
  def each
    yield "ok\n"
  end

  def close
    after&.call
  end
end

beat = ENV.fetch('BACKGROUND_MS', 0).to_i
if beat > 0
  Thread.new do
    n = 0
    loop do
      sleep(beat / 1000.0)
      fan(["/leaf/bg.#{n += 1}"])
    end
  end
end

run(lambda do |env|
  _, op, token, address = env['PATH_INFO'].split('/')
  after = nil
  case op
  when 'call' then fetch("/leaf/#{token}")
  when 'fan' then fan(["/leaf/#{token}.a", "/leaf/#{token}.b"])
  when 'timer'
    sleep(0.003)
    fetch("/leaf/#{token}")
  when 'retry'
    fetch("/leaf/#{token}.2") if fetch("/fail/#{token}.1") == 503
  when 'refuse'
    begin
      TCPSocket.new(address, DEAD).close
    rescue Errno::ECONNREFUSED
      nil
    end
    fetch("/leaf/#{token}.2")
  when 'after' then after = -> { fetch("/leaf/#{token}.after") }
  end
  [200, { 'Content-Length' => '3', 'Content-Type' => 'text/plain' }, Reply.new(after)]
end)
