import Primitives
import Synchronization
import Testing

@testable import Configuration
@testable import SettingsFile

/// The smallest file, with more lines at its end.
private func base(_ more: String = "") -> String {
  """
  listeners: [{address: 127.0.0.1:8080}]
  pools: [{name: chat, backends: [127.0.0.1:9001]}]
  routes: [{pool: chat}]
  \(more)
  """
}

@Suite struct LoaderTests {
  // YAML 1.1 reads these words as flags; as texts they must stay texts.
  @Test func wordsThatYAMLTakesForFlags() throws {
    let settings = try #require(load(base("access_log: {path: off}")).loaded).settings
    #expect(settings.accessLog.destination == .off)
    let named = try #require(
      load(base().replacing("chat", with: "on").replacing("{pool", with: "{name: yes, pool")).loaded
    )
    #expect(named.settings.pools[0].name == "on")
    #expect(named.settings.routes[0].name == "yes")
  }

  // Each spelling of a duration, size and share, and what it means to the nanosecond and byte.
  @Test func units() throws {
    let settings = try #require(
      load(
        base(
          """
          x-unused: {anything: [1, 2]}
          drain: {settle: 250ms, deadline: 1.5h}
          """
        ).replacing(
          "{address: 127.0.0.1:8080}",
          with: "{address: ':8080', limits: {head: 64KiB, body: 1.5MB, target: 500B}}")
      ).loaded
    ).settings
    #expect(settings.drain.settle == .milliseconds(250))
    #expect(settings.drain.deadline == .seconds(5400))
    #expect(settings.listeners[0].headLimit == 65_536)
    #expect(settings.listeners[0].bodyLimit == 1_500_000)
    #expect(settings.listeners[0].targetLimit == 500)
    #expect(settings.listeners[0].address == .ipv4(0, port: 8080))
    #expect(settings.listeners[0].name == ":8080")
  }

  @Test(arguments: [
    ("0.5", 0.5), ("50%", 0.5), ("0.1%", 0.001), ("7%", 0.07), ("1", 1), ("100%", 1), ("0", 0),
    ("12.5%", 0.125), ("0.000001", 0.000_001),
  ])
  func shares(text: String, value: Double) {
    guard case .value(let read) = parseRatio(text, 0...1) else {
      Issue.record("\(text) was refused")
      return
    }
    #expect(read == value)
    #expect(Double(decimalText(read)) == value)
  }

  @Test(arguments: [0, 1, 1023, 1024, 1000, 1_500_000, 1 << 20, 3 << 30, 1 << 40, 123_456_789])
  func sizesReadBack(bytes: Int) {
    guard case .value(let read) = parseSize(sizeText(bytes), 0...(1 << 41)) else {
      Issue.record("\(sizeText(bytes)) was refused")
      return
    }
    #expect(read == bytes)
  }

  // Numbers that overflow on the way must be refused, not trap.
  @Test(arguments: [
    "9999999999999h", "99999999999999999999s", "9999999999999.999999TiB", "1e9s", "-1s", "+1s",
    "0x10s", "1_000s", ".5s", "1.s", "1.0000001s", "١s",
  ])
  func numbersThatAreRefused(text: String) {
    if case .value(let value) = parseDuration(text, .zero...TimeAmount(nanoseconds: .max)) {
      Issue.record("\(text) is \(value)")
    }
    if case .value(let value) = parseSize(text, 0...Int.max), !text.hasSuffix("TiB") {
      Issue.record("\(text) is \(value)")
    }
  }

  // Shared parts of a fleet: what an anchor says, what a merge overrides, and in which order.
  @Test func anchorsAndMergeKeys() throws {
    let settings = try #require(
      load(
        """
        x-a: &a {connect: 1s, first_byte: 1m, idle: 1s}
        x-b: &b {connect: 3s, total: 1h}
        listeners: [{address: 127.0.0.1:8080}]
        pools:
          - name: one
            backends: &members [127.0.0.1:9001]
            timeouts: {<<: [*a, *b], idle: 2s}
          - name: two
            backends: *members
            timeouts: *b
        routes: [{path: /1, pool: one}, {pool: two}]
        """
      ).loaded
    ).settings
    #expect(settings.pools[0].timeouts.connect == .seconds(1))
    #expect(settings.pools[0].timeouts.firstByte == .seconds(60))
    #expect(settings.pools[0].timeouts.total == .seconds(3600))
    #expect(settings.pools[0].timeouts.idle == .seconds(2))
    #expect(settings.pools[1].timeouts.connect == .seconds(3))
    #expect(settings.pools[1].backends == settings.pools[0].backends)
  }

  // A team's file that is read in another order, or whose place is told wrongly.
  @Test func includesADirectoryInNameOrder() throws {
    let folder = Folder()
    folder.write("portico.yaml", Array("listeners: [{address: ':80'}]\ninclude: conf.d\n".utf8))
    folder.write(
      "conf.d/20.yaml", Array("routes: [{pool: b}]\npools: [{name: b, backends: [gpu1:1]}]\n".utf8))
    folder.write(
      "conf.d/10.yaml",
      Array("routes: [{path: /a, pool: a}]\npools: [{name: a, backends: [gpu1:1]}]\n".utf8))
    folder.write("conf.d/.hidden.yaml", Array("broken: [".utf8))
    folder.write("conf.d/README", Array("broken: [".utf8))
    let loaded = try #require(folder.load("portico.yaml").loaded)
    #expect(loaded.settings.pools.map(\.name) == ["a", "b"])
    #expect(loaded.settings.routes.map(\.target) == [.pool("a"), .pool("b")])
    #expect(
      loaded.files
        == ["portico.yaml", "conf.d/10.yaml", "conf.d/20.yaml"].map { "\(folder.path)/\($0)" })
    #expect(loaded.directories == ["\(folder.path)/conf.d"])
    #expect(loaded.warnings.isEmpty)
  }

  // A reload must watch the files of a refused configuration too, or the fix would go unseen.
  @Test func refusalNamesItsFiles() {
    let folder = Folder()
    folder.write("portico.yaml", Array("include: other.yaml\n".utf8))
    folder.write("other.yaml", Array("loops: x\n".utf8))
    guard case .refused(let refused) = folder.load("portico.yaml") else {
      Issue.record("it was loaded")
      return
    }
    #expect(refused.files == ["\(folder.path)/portico.yaml", "\(folder.path)/other.yaml"])
  }

  // A name server that shuffles its answers must not move a backend at each reload.
  @Test func namesResolveToTheLowestAddress() throws {
    let result = load(base().replacing("127.0.0.1:9001", with: "gpus:9001, six:1, localhost:2"))
    let backends = try #require(result.loaded).settings.pools[0].backends
    #expect(backends.map(\.address.description) == ["10.0.0.2:9001", "[fd00::1]:1", "127.0.0.1:2"])
    #expect(backends.map(\.name) == ["gpus:9001", "six:1", "localhost:2"])
    #expect(backends.map(\.authority) == ["gpus:9001", "six:1", "localhost:2"])
  }

  // One silent name server costs ten seconds a name: the second name must not ask again.
  @Test func asksNoSilentNameServerTwice() {
    let asked = Counter()
    let folder = Folder()
    folder.write(
      "portico.yaml",
      Array(base().replacing("127.0.0.1:9001", with: "one:1, two:1, three:1").utf8))
    let result = ConfigurationLoader { _ in
      asked.count.withLock { $0 += 1 }
      return .unreachable("Temporary failure in name resolution")
    }.load(path: "\(folder.path)/portico.yaml", environment: [:])
    #expect(result.lines.count == 3)
    #expect(asked.count.withLock { $0 } == 1)
  }

  private final class Counter: Sendable {
    let count = Mutex(0)
  }

  // The system's resolver, asked for what needs no name server.
  @Test func systemResolver() {
    var resolver = Resolver()
    #expect(
      resolver.resolve("127.0.0.3", port: 7) == .address(.ipv4(0x7f00_0003, port: 7), of: 1))
    #expect(
      resolver.resolve("fd00::5", port: 7) == .address(.ipv6(0xfd00 << 48, 5, port: 7), of: 1))
  }

  @Test(arguments: [
    ("a$$b", "a$b"), ("$x", "$x"), ("${A}", "1"), ("x${A}y${B:-z}", "x1yz"), ("${E:-d}", "d"),
    ("${E}", ""), ("$${A}", "${A}"), ("${B:-}", ""), ("${B:-a:-b}", "a:-b"), ("$", "$"),
  ])
  func environmentReferences(text: String, result: String) {
    #expect(
      EnvironmentReferences.replace(in: text, from: ["A": "1", "E": ""]) == .text(result))
  }

  @Test(arguments: [
    ("adress", "address"), ("ADDRESS", "address"), ("addres", "address"), ("wieght", "weight"),
    ("name", "name"), ("zzz", nil), ("", nil), ("path-prefix", "path_prefix"),
  ])
  func nearestKey(word: String, expected: String?) {
    #expect(
      nearest(to: word, among: ["name", "address", "weight", "path_prefix"]) == expected)
  }
}
