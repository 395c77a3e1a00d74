import EventLoop
import Glibc
import Primitives
import TestClient
import Testing

extension Stories {
  /// What could break: addresses of other kinds than the usual one, and who is believed about whom.
  @Suite struct Addresses {
    @Test func unixSocketsOnBothSides() throws {
      let folder = Folder()
      let backend = try Backend(at: folder["backend"]) { $0.answer("by unix\n") }
      defer { backend.stop() }
      let path = folder["door"]
      let text = """
        listeners: [{address: DOOR}, {address: "unix:\(path)"}]
        admin: {address: ADMIN}
        drain: {settle: 0s}
        pools: [{name: chat, backends: ["\(backend.address)"]}]
        routes: [{pool: chat}]
        """
      let door = try Portico(text)
      for address in [door.address, .unix(path: path)] {
        let client = try TestClient(address)
        for _ in 0..<3 {
          client.send(request("GET", "/"))
          #expect(client.readResponse().body == "by unix\n")
        }
      }
      // A file that a killed process left behind is no port in use.
      door.process.cut()
      #expect(access(path, F_OK) == 0)
      let again = try Portico(text)
      #expect(try ask(.unix(path: path), "GET", "/").body == "by unix\n")
      again.process.signal(SIGTERM)
      #expect(try again.process.waitForEnd() == .exited(0))
      #expect(access(path, F_OK) != 0, "the socket file stayed behind")
    }

    @Test func bothFamilies() throws {
      let backend = try Backend()
      defer { backend.stop() }
      let port = try Port(isIPv6: true)
      let door = try Portico(
        """
        listeners: [{address: "[::1]:\(port.number)"}, {address: DOOR}]
        admin: {address: ADMIN}
        pools: [{name: chat, backends: ["\(backend.address)"]}]
        routes: [{pool: chat}]
        """)
      #expect(try ask(.ipv6(0, 1, port: port.number), "GET", "/").body == "ok\n")
      #expect(try ask(door.address, "GET", "/").body == "ok\n")
      let heads = backend.requests.map { $0.lowercased() }
      #expect(heads[0].contains("x-forwarded-for: ::1\r\n"), "\(heads[0])")
      #expect(heads[1].contains("x-forwarded-for: 127.0.0.1\r\n"), "\(heads[1])")
    }

    @Test func theProxyProtocolTellsWhoItIs() throws {
      let backend = try Backend()
      defer { backend.stop() }
      let door = try Portico(
        configuration([backend.address], listener: "proxy_protocol: true"))
      let one = try TestClient(door.address)
      one.send("PROXY TCP4 203.0.113.7 10.0.0.1 4711 80\r\n" + request("GET", "/1"))
      #expect(one.readResponse().status == 200)
      // Version 2, in two pieces: TCP over IPv4, 12 bytes of addresses.
      let two = try TestClient(door.address)
      let header: [UInt8] =
        [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a]
        + [0x21, 0x11, 0x00, 0x0c, 203, 0, 113, 9, 10, 0, 0, 1, 0x12, 0x67, 0x00, 0x50]
      two.send(Array(header[..<14]))
      usleep(20_000)
      two.send(Array(header[14...]) + Array(request("GET", "/2").utf8))
      #expect(two.readResponse().status == 200)
      // Who does not speak it is not our load balancer.
      let stranger = try TestClient(door.address)
      stranger.send(request("GET", "/3"))
      #expect(stranger.readToEnd() == "")
      let heads = backend.requests.map { $0.lowercased() }
      #expect(heads.count == 2)
      #expect(heads[0].contains("x-forwarded-for: 203.0.113.7\r\n"), "\(heads[0])")
      #expect(heads[1].contains("x-forwarded-for: 203.0.113.9\r\n"), "\(heads[1])")
    }

    @Test func onlyTrustedProxiesAreBelieved() throws {
      let backend = try Backend()
      defer { backend.stop() }
      let claims = "X-Forwarded-For: 198.51.100.1\nX-Forwarded-Proto: https"
      let door = try Portico(configuration([backend.address]))
      #expect(try ask(door.address, "GET", "/", fields: claims).status == 200)
      door.edit(
        configuration([backend.address], listener: "trusted_proxies: [127.0.0.0/8]"))
      try eventually("the edit is taken over") { door.logged("configuration applied") == 1 }
      #expect(try ask(door.address, "GET", "/", fields: claims).status == 200)
      let heads = backend.requests.map { $0.lowercased() }
      #expect(!heads[0].contains("198.51.100.1"), "\(heads[0])")
      #expect(heads[0].contains("x-forwarded-for: 127.0.0.1\r\n"), "\(heads[0])")
      #expect(heads[1].contains("x-forwarded-for: 198.51.100.1, 127.0.0.1\r\n"), "\(heads[1])")
      #expect(heads[1].contains("x-forwarded-proto: https\r\n"), "\(heads[1])")
    }
  }
}
