import Glibc
import Primitives
import Testing

@testable import Configuration
@testable import SettingsFile

private let configFolder = repository + "/Config"

private func loadExample(_ name: String) -> ConfigurationLoader.Result {
  ConfigurationLoader(resolve: testAnswers).load(path: "\(configFolder)/\(name)", environment: [:])
}

/// The committed text of a made file. PORTICO_WRITE_GOLDEN=1 writes it first.
private func committed(_ name: String, made: String) -> String {
  if getenv("PORTICO_WRITE_GOLDEN") != nil {
    let file = fopen("\(configFolder)/\(name)", "w")!
    fputs(made, file)
    fclose(file)
  }
  return text(of: "\(configFolder)/\(name)")
}

@Suite struct ExampleTests {
  // The first file that a person copies; one that warns or fails loses them.
  @Test(arguments: ["minimal.yaml", "full.yaml", "vllm-fleet.yaml"])
  func loadsWithoutAWord(name: String) {
    let result = loadExample(name)
    #expect(result.loaded != nil)
    #expect(result.lines == [])
  }

  // The file of the issue, as it stands there: what it must mean.
  @Test func minimalMeans() throws {
    let loaded = try #require(loadExample("minimal.yaml").loaded)
    var expected = Settings()
    var listener = ListenerSettings()
    listener.name = "127.0.0.1:8080"
    expected.listeners = [listener]
    expected.admin = AdminSettings()
    var pool = PoolSettings()
    pool.name = "chat"
    pool.backends = [UInt16(9001), 9002].map { port in
      var backend = BackendSettings()
      backend.name = "127.0.0.1:\(port)"
      backend.address = .ipv4(0x7f00_0001, port: port)
      backend.authority = "127.0.0.1:\(port)"
      return backend
    }
    expected.pools = [pool]
    var route = RouteSettings()
    route.name = "*"
    route.target = .pool("chat")
    expected.routes = [route]
    #expect(loaded.settings == expected)
    #expect(loaded.files == ["\(configFolder)/minimal.yaml"])
    #expect(loaded.directories == [])
  }

  // An editor that completes keys which the parser refuses, or the other way round.
  @Test func jsonSchemaIsUpToDate() {
    #expect(
      jsonSchema() == committed("portico.schema.json", made: jsonSchema()),
      "run `portico schema > Config/portico.schema.json`")
  }

  // An example that lags behind the defaults lies to everybody who reads it.
  @Test func fullIsUpToDate() {
    #expect(
      annotatedExample() == committed("full.yaml", made: annotatedExample()),
      "PORTICO_WRITE_GOLDEN=1 swift test --filter ExampleTests writes it")
  }

  // A key that is described but missing from the file with every key. `include` and the keys that
  // exclude one of its own are the exceptions, by name.
  @Test func fullShowsEveryKey() {
    let full = text(of: "\(configFolder)/full.yaml")
    let words = Set(
      full.split(separator: "\n").compactMap { line -> Substring? in
        let key = line.drop { $0 == " " || $0 == "-" }
        return key.firstIndex(of: ":").map { key[..<$0] }
      })
    for key in schemaKeys(jsonSchema()) where !["include", "header"].contains(key) {
      #expect(words.contains(Substring(key)), "\(key) is missing")
    }
  }

  /// The keys of every `properties` of the schema, by their indentation.
  private func schemaKeys(_ schema: String) -> Set<String> {
    var keys: Set<String> = []
    var depths: [Int] = []
    for line in schema.split(separator: "\n") {
      let depth = line.prefix { $0 == " " }.count
      while let last = depths.last, depth <= last { depths.removeLast() }
      let text = line.dropFirst(depth)
      if let last = depths.last, depth == last + 2, text.hasPrefix("\"") {
        keys.insert(String(text.dropFirst().prefix { $0 != "\"" }))
      }
      if text.hasPrefix("\"properties\":") { depths.append(depth) }
    }
    return keys
  }

  // A default that the comment beside it contradicts: what full.yaml says must be what a file that
  // says nothing gets.
  @Test func fullHasTheDefaults() throws {
    let full = try #require(loadExample("full.yaml").loaded).settings
    let minimal = try #require(loadExample("minimal.yaml").loaded).settings
    var listener = full.listeners[0]
    listener.name = minimal.listeners[0].name
    listener.healthPath = nil
    listener.trustedProxies = []
    #expect(listener.access.authenticate == AuthenticationSetting.none)
    listener.access = AccessSettings()
    listener.tls = nil
    #expect(listener == minimal.listeners[0])
    #expect(full.drain == minimal.drain)
    #expect(full.accessLog == minimal.accessLog)
    #expect(full.loops == minimal.loops)
    var pool = full.pools[0]
    pool.backends = minimal.pools[0].backends
    #expect(pool.health == HealthSettings())
    pool.health = nil
    pool.apiKey = nil
    pool.tls = nil
    #expect(pool == minimal.pools[0])
  }
}
