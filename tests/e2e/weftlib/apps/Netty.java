// SPDX-License-Identifier: Apache-2.0
import io.netty.bootstrap.ServerBootstrap;
import io.netty.buffer.Unpooled;
import io.netty.channel.ChannelFutureListener;
import io.netty.channel.ChannelHandlerContext;
import io.netty.channel.ChannelInitializer;
import io.netty.channel.SimpleChannelInboundHandler;
import io.netty.channel.nio.NioEventLoopGroup;
import io.netty.channel.socket.SocketChannel;
import io.netty.channel.socket.nio.NioServerSocketChannel;
import io.netty.handler.codec.http.*;
import io.netty.handler.ssl.SslContext;
import io.netty.handler.ssl.SslContextBuilder;
import io.netty.handler.ssl.SslProvider;
import java.io.File;

/** HTTPS by Netty's event loops, which hand bytes to OpenSSL (netty-tcnative). Any path is answered. */
public class Netty {
	static class Answer extends SimpleChannelInboundHandler<FullHttpRequest> {
		@Override
		protected void channelRead0(ChannelHandlerContext ctx, FullHttpRequest request) {
			FullHttpResponse reply = new DefaultFullHttpResponse(
				HttpVersion.HTTP_1_1, HttpResponseStatus.OK, Unpooled.wrappedBuffer("ok\n".getBytes()));
			reply.headers().set(HttpHeaderNames.CONTENT_LENGTH, 3);
			ctx.writeAndFlush(reply);
		}
	}

	public static void main(String[] args) throws Exception {
		String pem = System.getenv("TLS");
		SslContext tls = SslContextBuilder.forServer(new File(pem, "cert.pem"), new File(pem, "pkcs8.pem"))
			.sslProvider(SslProvider.OPENSSL).build();
		NioEventLoopGroup loops = new NioEventLoopGroup(2);
		new ServerBootstrap().group(loops).channel(NioServerSocketChannel.class)
			.childHandler(new ChannelInitializer<SocketChannel>() {
				@Override
				protected void initChannel(SocketChannel channel) {
					channel.pipeline().addLast(tls.newHandler(channel.alloc()), new HttpServerCodec(),
						new HttpObjectAggregator(65536), new Answer());
				}
			}).bind("127.0.0.1", Integer.parseInt(System.getenv("PORT"))).sync().channel().closeFuture().sync();
	}
}
