import Testing

@testable import Primitives

@Suite struct SocketAddressTests {
  // A form that reads as something else than it prints would bind or connect elsewhere.
  @Test(arguments: [
    ("127.0.0.1:8080", SocketAddress.ipv4(0x7f00_0001, port: 8080), "127.0.0.1:8080"),
    ("*:80", .ipv4(0, port: 80), "0.0.0.0:80"),
    (":80", .ipv4(0, port: 80), "0.0.0.0:80"),
    ("255.255.255.255:65535", .ipv4(.max, port: 65535), "255.255.255.255:65535"),
    ("[::]:1", .ipv6(0, 0, port: 1), "[::]:1"),
    ("[::1]:8080", .ipv6(0, 1, port: 8080), "[::1]:8080"),
    (
      "[2001:DB8:0:0:1:0:0:1]:443", .ipv6(0x2001_0db8_0000_0000, 0x0001_0000_0000_0001, port: 443),
      "[2001:db8::1:0:0:1]:443"
    ),
    (
      "[1:2:3:4:5:6:7::]:1", .ipv6(0x1_0002_0003_0004, 0x5_0006_0007_0000, port: 1),
      "[1:2:3:4:5:6:7:0]:1"
    ),
    ("[fe80::]:1", .ipv6(0xfe80_0000_0000_0000, 0, port: 1), "[fe80::]:1"),
    ("[::ffff:10.0.0.1]:9", .ipv6(0, 0xffff_0a00_0001, port: 9), "[::ffff:10.0.0.1]:9"),
    ("unix:/run/a.sock", .unix(path: "/run/a.sock"), "unix:/run/a.sock"),
  ])
  func readsAndPrints(text: String, address: SocketAddress, printed: String) {
    #expect(SocketAddress(text) == address)
    #expect(address.description == printed)
    #expect(SocketAddress(printed) == address)
  }

  // A lenient reader would take an octal or short address for another one.
  @Test(arguments: [
    "", "8080", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:+80", "127.0.0.1:080",
    "127.1:80", "127.0.0.01:80", "256.0.0.1:80", "::1:80", "[::1]", "[::1:80", "[:::]:80",
    "[1::2::3]:80", "[1:2:3:4:5:6:7]:80", "[1:2:3:4:5:6:7:8:9]:80", "[1:2:3:4:5:6:7:8::]:80",
    "[12345::]:80", "[::1%eth0]:80", "[1:2:]:80", "[::1.2.3.4:5]:80", "localhost:80", "unix:run",
    "unix:", "unix:/\(String(repeating: "x", count: 107))",
  ])
  func refuses(text: String) {
    #expect(SocketAddress(text) == nil)
  }

  // A wrong mask would trust a stranger's X-Forwarded-For.
  @Test(arguments: [
    ("10.0.0.0/8", "10.255.0.1:1", true), ("10.0.0.0/8", "11.0.0.1:1", false),
    ("127.0.0.1", "127.0.0.1:1", true), ("127.0.0.1", "127.0.0.2:1", false),
    ("10.0.0.0/8", "[::ffff:10.1.1.1]:1", true), ("0.0.0.0/0", "1.2.3.4:1", true),
    ("0.0.0.0/0", "[2001:db8::1]:1", false), ("::/0", "[2001:db8::1]:1", true),
    ("::/0", "1.2.3.4:1", true), ("fd00::/8", "[fdff::1]:1", true),
    ("fd00::/8", "[fe00::1]:1", false), ("2001:db8::/65", "[2001:db8::7fff:0:0:1]:1", true),
    ("2001:db8::/65", "[2001:db8::8000:0:0:1]:1", false), ("::/0", "unix:/a", false),
  ])
  func contains(block: String, address: String, inside: Bool) throws {
    let block = try #require(AddressBlock(block))
    #expect(block.contains(try #require(SocketAddress(address))) == inside)
    #expect(AddressBlock(block.description) == block)
  }

  @Test(arguments: ["", "10.0.0.0/33", "10.0.0.1/8", "::/129", "10.0.0.0/", "/8", "10.0.0.0/8/8"])
  func refusesBlock(text: String) {
    #expect(AddressBlock(text) == nil)
  }

  // The hint of a complaint: what the operator most likely meant.
  @Test func masks() {
    #expect(AddressBlock.lenient("10.0.0.1/8")?.masked.description == "10.0.0.0/8")
  }
}
