import Testing

@testable import KServe

/// What could break: models whose names have slashes, and paths that mean two things.
@Suite struct PathTests {
  @Test(
    arguments: [
      ("/v2", .server), ("/v2/", .server), ("/v2/health/live", .live), ("/v2/health/ready", .ready),
      ("/v2/models/m", .model(name: "m", version: "", .metadata)),
      ("/v2/models/m/", .model(name: "m", version: "", .metadata)),
      ("/v2/models/m/ready", .model(name: "m", version: "", .ready)),
      ("/v2/models/m/infer", .model(name: "m", version: "", .infer)),
      ("/v2/models/m/versions/1", .model(name: "m", version: "1", .metadata)),
      ("/v2/models/m/versions/1/ready", .model(name: "m", version: "1", .ready)),
      ("/v2/models/m/versions/1/infer", .model(name: "m", version: "1", .infer)),
      ("/v2/models/m/generate", .model(name: "m", version: "", .generate)),
      (
        "/v2/models/m/versions/2/generate_stream",
        .model(name: "m", version: "2", .generateStream)
      ),
      ("/v2/models/org%2Fm/infer", .model(name: "org/m", version: "", .infer)),
      ("/v2/models/org/m/infer", .model(name: "org/m", version: "", .infer)),
      ("/v2/models/ready", .model(name: "ready", version: "", .metadata)),
      ("/v2/models/infer/infer", .model(name: "infer", version: "", .infer)),
      ("/v2/models", .unknown), ("/v2/models/", .unknown), ("/v2/health", .unknown),
      ("/v2/repository/index", .unknown),
    ] as [(String, KServePath)])
  func paths(path: String, meaning: KServePath) {
    #expect(KServePath(path) == meaning)
  }

  @Test(arguments: ["/", "/v1/models", "/v20", "v2", "/v3/x"])
  func othersAreNotOfIt(path: String) { #expect(KServePath(path) == nil) }
}
