import HTTP
import Testing

@testable import HTTP1

@Suite struct ProxyProtocolTests {
  private func parse(_ bytes: [UInt8]) -> ProxyProtocol.Result {
    withExactBytes(bytes) { ProxyProtocol.parse($0) }
  }

  private func client(_ bytes: [UInt8]) -> String? {
    guard case .complete(_, let source?) = parse(bytes) else { return nil }
    return "\(source.withText { spelled($0) }) \(source.port)"
  }

  /// I06.1: version 1 names the client, and nothing behind it is taken.
  @Test(arguments: [
    ("PROXY TCP4 9.8.7.6 10.0.0.1 1234 80⏎", "9.8.7.6 1234"),
    ("PROXY TCP4 255.255.255.255 0.0.0.0 65535 0⏎", "255.255.255.255 65535"),
    ("PROXY TCP6 2001:DB8::1 ::1 1234 80⏎", "2001:db8::1 1234"),
    ("PROXY TCP6 ::ffff:1.2.3.4 ::1 1 80⏎", "1.2.3.4 1"),
    ("PROXY UNKNOWN⏎", nil),
    ("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535⏎", nil),
  ]) func line(_ header: String, _ source: String?) {
    let bytes = wire(header + "GET / HTTP/1.1⏎")
    #expect(client(bytes) == source)
    guard case .complete(let consumed, _) = parse(bytes) else {
      Issue.record("not complete")
      return
    }
    #expect(consumed == wire(header).count)
    for count in 0..<consumed { #expect(parse(Array(bytes[..<count])) == .incomplete) }
  }

  /// I06.4, I06.6 and their neighbours: closed without a byte.
  @Test(arguments: [
    "PROXY TCP4 9.8.7.6 10.0.0.1 1234 80\n", "PROXY TCP4 9.8.7.6 10.0.0.1 1234 80\rX",
    "PROXY TCP4 9.8.7.6\0 10.0.0.1 1234 80⏎", "PROXY TCP4 9.8.7.6 10.0.0.1 65536 80⏎",
    "PROXY TCP5 9.8.7.6 10.0.0.1 1234 80⏎", "PROXY TCP4 9.8.7.600 10.0.0.1 1234 80⏎",
    "PROXY TCP4 9.8.7.6 10.0.0.1 0111 80⏎", "PROXY TCP4 9.8.7.6 10.0.0.1 1234 080⏎",
    "PROXY TCP4 09.8.7.6 10.0.0.1 1234 80⏎", "PROXY TCP4 9.8.7 10.0.0.1 1234 80⏎",
    "PROXY TCP4 9.8.7.6.5 10.0.0.1 1234 80⏎", "PROXY  TCP4 9.8.7.6 10.0.0.1 1234 80⏎",
    "PROXY TCP4  9.8.7.6 10.0.0.1 1234 80⏎", "PROXY TCP4 9.8.7.6 10.0.0.1 1234 80 ⏎",
    "PROXY TCP4 9.8.7.6 10.0.0.1 1234⏎", "PROXY TCP4 9.8.7.6 10.0.0.1 1234 80 x⏎",
    "PROXY TCP4 ::1 ::1 1234 80⏎", "PROXY TCP6 9.8.7.6 10.0.0.1 1234 80⏎",
    "PROXY TCP6 fe80::1%0 ::1 1 80⏎", "PROXY TCP4 9.8.7.6 10.0.0.1 -1 80⏎", "PROXY⏎", "PROXY ⏎",
    "proxy TCP4 9.8.7.6 10.0.0.1 1234 80⏎", "GET / HTTP/1.1⏎", "\n",
    "PROXY " + String(repeating: "x", count: 101),
  ]) func badLine(_ header: String) {
    #expect(parse(wire(header)) == .invalid)
  }

  /// The longest line of the specification passes; one byte more does not.
  @Test func longestLine() {
    func line(_ bytes: Int) -> [UInt8] {
      wire("PROXY UNKNOWN " + String(repeating: "x", count: bytes - 16) + "⏎")
    }
    #expect(line(107).count == 107)
    #expect(parse(line(107)) == .complete(consumed: 107, source: nil))
    #expect(parse(line(108)) == .invalid)
  }

  private let signature = wire("⏎⏎\0⏎QUIT\n")
  private let ipv4: [UInt8] = [9, 8, 7, 6, 10, 0, 0, 1, 0x04, 0xd2, 0, 80]

  private func binary(
    _ command: UInt8, _ family: UInt8, _ payload: [UInt8], length: Int? = nil
  ) -> [UInt8] {
    let length = length ?? payload.count
    return signature + [command, family, UInt8(length >> 8), UInt8(length & 255)] + payload
  }

  /// I06.2: version 2 names the client.
  @Test func binary() {
    let v4 = binary(0x21, 0x11, ipv4)
    #expect(client(v4 + [0x47]) == "9.8.7.6 1234")
    for count in 0..<v4.count { #expect(parse(Array(v4[..<count])) == .incomplete) }
    let v6 = [0x20, 0x01, 0x0d, 0xb8] + [UInt8](repeating: 0, count: 11) + [1]
    #expect(
      client(binary(0x21, 0x21, v6 + v6 + [0x04, 0xd2, 0, 80])) == "2001:db8::1 1234")
    // With extras: type, length, value.
    #expect(client(binary(0x21, 0x11, ipv4 + [0x04, 0, 2, 1, 2, 0xea, 0, 0])) == "9.8.7.6 1234")
    // A health check of the balancer itself, whatever it says.
    #expect(parse(binary(0x20, 0x00, [])) == .complete(consumed: 16, source: nil))
    #expect(parse(binary(0x20, 0x77, [1, 2])) == .complete(consumed: 18, source: nil))
    #expect(parse(binary(0x21, 0x00, [])) == .complete(consumed: 16, source: nil))
    #expect(
      parse(binary(0x21, 0x31, [UInt8](repeating: 0, count: 216)))
        == .complete(consumed: 232, source: nil))
  }

  /// What is not quite a version 2 header does not come from a balancer of ours.
  @Test func badBinary() {
    #expect(parse(binary(0x11, 0x11, ipv4)) == .invalid)
    #expect(parse(binary(0x22, 0x11, ipv4)) == .invalid)
    #expect(parse(binary(0x21, 0x12, ipv4)) == .invalid)
    #expect(parse(binary(0x21, 0x41, ipv4)) == .invalid)
    #expect(parse(binary(0x21, 0x11, Array(ipv4.dropLast()))) == .invalid)
    #expect(parse(binary(0x21, 0x21, ipv4)) == .invalid)
    #expect(parse(binary(0x21, 0x11, ipv4 + [1])) == .invalid)
    #expect(parse(binary(0x21, 0x11, ipv4 + [1, 0, 9, 1])) == .invalid)
    #expect(parse(binary(0x21, 0x11, [], length: 65_535)) == .invalid)
    #expect(parse(wire("⏎⏎\0⏎QUIX")) == .invalid)
    #expect(parse(wire("⏎G")) == .invalid)
  }

  /// Addresses are read strictly and written in one way only.
  @Test(arguments: [
    ("::", "::"), ("::1", "::1"), ("1::", "1::"), ("1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"),
    ("1:0:0:4:0:0:0:8", "1:0:0:4::8"), ("1:0:3:4:5:6:7:8", "1:0:3:4:5:6:7:8"),
    ("0:0:0:0:0:0:0:0", "::"), ("::1.2.3.4", "::102:304"), ("::ffff:1.2.3.4", "1.2.3.4"),
    ("1::8", "1::8"), ("ABCD:EF01::", "abcd:ef01::"), ("1:2:3:4:5:6::8", "1:2:3:4:5:6:0:8"),
    ("0:0:3::", "0:0:3::"), ("1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5:6:102:304"),
    ("00001::", nil), ("1:2:3:4:5:6:7", nil), ("1:2:3:4:5:6:7:8:9", nil), (":1", nil),
    ("1:", nil), ("1::2::3", nil), (":::", nil), ("1:2:3:4::5:6:7:8", nil), ("g::", nil),
    ("1.2.3.4", nil), ("::1.2.3", nil), ("::1.2.3.4:5", nil), ("1:2:3:4:5:6:7:1.2.3.4", nil),
    ("", nil), (":", nil), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"),
  ]) func ipv6(_ text: String, _ canonical: String?) {
    let parsed = withExactBytes(Array(text.utf8)) { IPAddress.parseIPv6($0) }
    #expect((parsed != nil) == (canonical != nil))
    guard let parsed, let canonical else { return }
    let source = ProxyProtocol.Source(high: parsed.high, low: parsed.low, port: 0)
    #expect(source.withText { spelled($0) } == canonical)
  }
}
