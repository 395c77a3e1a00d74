// swift-tools-version: 6.2
import PackageDescription

/// Every room of ours is compiled the same way: Swift 6 mode, warnings are errors.
let house: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .treatAllWarnings(as: .error),
]

func room(_ wing: String, _ name: String, needs: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: needs, path: "Sources/\(wing)/\(name)", swiftSettings: house)
}

func tests(
  _ wing: String, _ name: String, needs: [Target.Dependency], data: [String] = []
) -> Target {
  .testTarget(
    name: "\(name)Tests", dependencies: needs, path: "Tests/\(wing)/\(name)Tests", exclude: data,
    swiftSettings: house)
}

let package = Package(
  name: "portico",
  products: [
    .executable(name: "portico", targets: ["portico"]),
    .executable(name: "portico-worker", targets: ["portico-worker"]),
    .executable(name: "portico-embed", targets: ["portico-embed"]),
  ],
  targets: [
    // Base: what everything stands on.
    .target(name: "CLinux", path: "Sources/Base/CLinux"),
    .systemLibrary(
      name: "CYAML", path: "Sources/Base/CYAML", pkgConfig: "yaml-0.1",
      providers: [.apt(["libyaml-dev"])]),
    .systemLibrary(
      name: "CCurl", path: "Sources/Base/CCurl", pkgConfig: "libcurl",
      providers: [.apt(["libcurl4-openssl-dev"])]),
    .systemLibrary(
      name: "COpenSSL", path: "Sources/Base/COpenSSL", pkgConfig: "openssl",
      providers: [.apt(["libssl-dev"])]),
    .systemLibrary(
      name: "CNghttp2", path: "Sources/Base/CNghttp2", pkgConfig: "libnghttp2",
      providers: [.apt(["libnghttp2-dev"])]),
    room("Base", "Primitives", needs: ["CLinux"]),
    room("Base", "EventLoop", needs: ["CLinux", "Primitives"]),
    // Wire: bytes in, events out.
    room("Wire", "HTTP", needs: ["Primitives"]),
    room("Wire", "JSON"),
    room("Wire", "JSONScan"),
    room("Wire", "JWT", needs: ["COpenSSL", "JSON", "Primitives"]),
    room("Wire", "SettingsFile", needs: ["Primitives", "HTTP", "JSON", "CYAML"]),
    room("Wire", "HTTP1", needs: ["Primitives", "HTTP"]),
    room("Wire", "GRPC", needs: ["Primitives"]),
    room("Wire", "HTTP2", needs: ["Primitives", "HTTP", "CNghttp2"]),
    room("Wire", "Transcode", needs: ["Primitives", "HTTP", "HTTP1", "HTTP2"]),
    room(
      "Wire", "HTTPServer", needs: ["CLinux", "Primitives", "EventLoop", "HTTP", "HTTP1"]),
    room(
      "Wire", "GRPCServer",
      needs: ["Primitives", "EventLoop", "HTTP", "HTTP2", "HTTPServer", "GRPC"]),
    room("Wire", "TLS", needs: ["COpenSSL", "Primitives"]),
    // Door: decides, and performs what was decided.
    room("Door", "Balancing", needs: ["Primitives"]),
    room("Door", "Configuration", needs: ["Primitives", "HTTP", "JWT", "SettingsFile"]),
    room("Door", "Telemetry", needs: ["CLinux", "Primitives", "HTTP"]),
    room("Door", "Routing", needs: ["Primitives", "HTTP"]),
    room(
      "Door", "Guard",
      needs: ["COpenSSL", "Primitives", "HTTP1", "JSONScan", "JWT", "Telemetry"]),
    room(
      "Door", "ProxyCore",
      needs: [
        "Primitives", "HTTP", "HTTP1", "HTTP2", "Transcode", "GRPC", "JSONScan", "JWT",
        "Balancing", "Configuration", "Guard",
        "Routing", "Telemetry",
      ]),
    room(
      "Door", "ProxyServer",
      needs: [
        "CLinux", "Primitives", "EventLoop", "HTTP1", "TLS", "Configuration", "Balancing",
        "ProxyCore", "Telemetry",
      ]),
    room(
      "Door", "Fleet",
      needs: ["Primitives", "Configuration", "EventLoop", "GRPC", "CCurl", "CLinux"]),
    room("Door", "Lifecycle", needs: ["Primitives", "EventLoop", "CLinux"]),
    room(
      "Door", "Admin",
      needs: [
        "CLinux", "Primitives", "EventLoop", "HTTP", "HTTPServer", "JSON", "Balancing",
        "Configuration", "SettingsFile", "Telemetry",
      ]),
    room(
      "Door", "Control",
      needs: [
        "CLinux", "Primitives", "EventLoop", "HTTPServer", "Admin", "Balancing", "Configuration",
        "Fleet", "Lifecycle", "ProxyCore", "ProxyServer", "SettingsFile", "TLS", "Telemetry",
      ]),
    // Shard: the inference workers and the shard runner they share.
    .target(
      name: "CShardKernels", path: "Sources/Shard/CShardKernels",
      // Kernels are compiled for speed in debug builds too: tests run real models.
      cSettings: [
        .unsafeFlags(["-O3", "-fno-math-errno", "-ffp-contract=off", "-Wall", "-Wno-psabi"])
      ]),
    room("Shard", "Generation", needs: ["Primitives"]),
    room("Shard", "ShardPlan"),
    room("Shard", "Scheduler", needs: ["Primitives", "Generation"]),
    room("Shard", "Sampling", needs: ["Primitives", "Generation", "CShardKernels"]),
    .target(
      name: "CModelFiles", path: "Sources/Shard/CModelFiles",
      // Rounds like GGUF's reference, and is compiled for speed in debug builds too.
      cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off", "-Wall"])]),
    room("Shard", "ModelFiles", needs: ["CModelFiles", "JSON", "ShardPlan"]),
    room("Shard", "Text", needs: ["JSON"]),
    room("Shard", "ChatTemplate", needs: ["JSON"]),
    .target(
      name: "CRankGroup", path: "Sources/Shard/CRankGroup",
      // Sums are on the path of every layer, in debug builds too.
      cSettings: [.unsafeFlags(["-O3", "-ffp-contract=off", "-Wall"])]),
    room(
      "Shard", "RankGroup",
      needs: ["CLinux", "CRankGroup", "Primitives", "Generation", "EventLoop"]),
    room(
      "Shard", "ShardRunner",
      needs: [
        "CLinux", "Primitives", "Generation", "ShardPlan", "Scheduler", "Sampling", "ModelFiles",
        "RankGroup", "CShardKernels",
      ]),
    room("Shard", "WorkerAPI", needs: ["HTTPServer", "JSON", "Primitives"]),
    room(
      "Shard", "KServe",
      needs: [
        "Primitives", "EventLoop", "GRPC", "GRPCServer", "HTTPServer", "JSON", "WorkerAPI",
      ]),
    room(
      "Shard", "WorkerServer",
      needs: [
        "Primitives", "EventLoop", "GRPC", "GRPCServer", "HTTP", "HTTPServer", "JSON",
        "Generation", "KServe", "ModelFiles", "WorkerAPI",
      ]),
    room(
      "Shard", "EmbedServer",
      needs: [
        "Primitives", "EventLoop", "GRPC", "GRPCServer", "HTTP", "HTTPServer", "JSON", "KServe",
        "Text", "WorkerAPI",
      ]),
    // Lab: the fleet in a bottle.
    room(
      "Lab", "Load",
      needs: ["CLinux", "Primitives", "EventLoop", "HTTP", "HTTPServer", "JSON"]),
    room(
      "Lab", "Simulation",
      needs: [
        "Primitives", "HTTP", "HTTP1", "Balancing", "Configuration", "Routing", "ProxyCore",
        "Telemetry",
      ]),
    // Commands: the doors to the street.
    room("Commands", "Terminal", needs: ["CLinux", "SettingsFile"]),
    .executableTarget(
      name: "portico",
      dependencies: [
        "Admin", "CLinux", "Terminal", "Configuration", "Control", "EventLoop", "Guard", "JSON",
        "Lifecycle", "Load", "Primitives", "SettingsFile", "Simulation", "Telemetry",
      ],
      path: "Sources/Commands/portico", swiftSettings: house,
      // The runtime inside: 2 MiB less resident at start, and an image without a toolchain.
      linkerSettings: [.unsafeFlags(["-static-stdlib"], .when(configuration: .release))]),
    room(
      "Commands", "WorkerCommand",
      needs: [
        "CLinux", "ChatTemplate", "EmbedServer", "EventLoop", "GRPCServer", "Generation",
        "HTTPServer", "JSON", "KServe", "Lifecycle", "ModelFiles", "Primitives", "RankGroup",
        "SettingsFile", "ShardPlan", "ShardRunner", "Terminal", "Text", "WorkerServer",
      ]),
    .executableTarget(
      name: "portico-embed", dependencies: ["WorkerCommand"],
      path: "Sources/Commands/portico-embed", swiftSettings: house,
      linkerSettings: [.unsafeFlags(["-static-stdlib"], .when(configuration: .release))]),
    .executableTarget(
      name: "portico-worker", dependencies: ["WorkerCommand"],
      path: "Sources/Commands/portico-worker", swiftSettings: house,
      linkerSettings: [.unsafeFlags(["-static-stdlib"], .when(configuration: .release))]),
    // A client for tests with real sockets.
    .target(
      name: "TestClient", dependencies: ["CLinux", "EventLoop", "Primitives"],
      path: "Tests/Support/TestClient", swiftSettings: house),
    tests("Base", "EventLoop", needs: ["EventLoop", "CLinux", "Primitives"]),
    tests("Base", "Primitives", needs: ["Primitives"]),
    tests("Wire", "JSON", needs: ["JSON"]),
    tests("Wire", "HTTP1", needs: ["HTTP1", "HTTP", "Primitives"]),
    tests(
      "Wire", "HTTPServer",
      needs: ["HTTPServer", "HTTP", "HTTP1", "EventLoop", "Primitives", "TestClient"]),
    tests("Door", "Balancing", needs: ["Balancing", "Primitives"]),
    tests(
      "Door", "Configuration", needs: ["Configuration", "SettingsFile", "Primitives", "HTTP"],
      data: ["Golden"]),
    tests("Door", "Routing", needs: ["Routing", "Primitives"]),
    tests(
      "Door", "ProxyCore",
      needs: [
        "ProxyCore", "Balancing", "Configuration", "Guard", "HTTP", "HTTP2", "Primitives",
        "Telemetry",
      ]),
    tests("Door", "Telemetry", needs: ["Telemetry", "Primitives", "HTTP"]),
    tests(
      "Door", "Fleet",
      needs: [
        "Fleet", "Configuration", "EventLoop", "GRPC", "GRPCServer", "HTTPServer", "Primitives",
        "CLinux",
      ]),
    tests("Door", "Lifecycle", needs: ["Lifecycle", "EventLoop", "Primitives", "CLinux"]),
    tests(
      "Door", "Admin",
      needs: [
        "Admin", "Balancing", "Telemetry", "Primitives", "EventLoop", "HTTPServer", "JSON",
        "CLinux",
      ]),
    tests(
      "Shard", "WorkerServer",
      needs: [
        "WorkerServer", "WorkerAPI", "EventLoop", "GRPC", "GRPCServer", "Generation",
        "HTTPServer", "JSON", "KServe", "Primitives", "TestClient",
      ]),
    tests("Shard", "CShardKernels", needs: ["CShardKernels", "Primitives"]),
    tests("Shard", "Sampling", needs: ["Sampling", "Generation", "Primitives"]),
    tests(
      "Shard", "ShardRunner",
      needs: [
        "ShardRunner", "ShardPlan", "Generation", "ModelFiles", "RankGroup", "CShardKernels",
        "JSON", "Primitives",
      ], data: ["Goldens"]),
    tests("Lab", "Simulation", needs: ["Simulation", "Primitives"]),
    tests("Lab", "Load", needs: ["Load", "EventLoop", "JSON", "Primitives", "TestClient"]),
    tests(
      "Shard", "ModelFiles",
      needs: ["CModelFiles", "JSON", "ModelFiles", "Primitives", "ShardPlan"],
      data: ["Goldens"]),
    // Acts as a rank, with an engine that is none.
    .executableTarget(
      name: "rank-peer",
      dependencies: ["CLinux", "EventLoop", "Generation", "Primitives", "RankGroup"],
      path: "Tests/Support/rank-peer", swiftSettings: house),
    tests(
      "Shard", "RankGroup",
      needs: ["RankGroup", "rank-peer", "CLinux", "EventLoop", "Generation", "Primitives"]),
    tests("Shard", "Scheduler", needs: ["Scheduler", "Generation", "Primitives"]),
    tests("Shard", "ChatTemplate", needs: ["ChatTemplate", "JSON"], data: ["Goldens"]),
    tests("Shard", "Text", needs: ["Text", "JSON"], data: ["Goldens"]),
    tests(
      "Shard", "EmbedServer",
      needs: [
        "EmbedServer", "WorkerAPI", "EventLoop", "HTTPServer", "JSON", "Primitives", "TestClient",
        "Text",
      ]),
    // What bytes of strangers meet, as functions that fuzzers and tests call.
    .target(
      name: "FuzzTargets",
      dependencies: [
        "COpenSSL", "Configuration", "GRPC", "HTTP", "HTTP1", "HTTP2", "JSON", "JSONScan", "JWT",
        "Primitives", "SettingsFile", "TLS", "Text", "Transcode",
      ],
      path: "Tests/Support/FuzzTargets", swiftSettings: house),
    tests("Fuzz", "FuzzTargets", needs: ["FuzzTargets", "Primitives"]),
    // What our parsers make of messages, for a comparison with others.
    .executableTarget(
      name: "wire-verdict", dependencies: ["HTTP", "HTTP1", "Primitives"],
      path: "Tests/Support/wire-verdict", swiftSettings: house),
    tests("Wire", "HTTP2", needs: ["HTTP2", "HTTP", "Primitives"]),
    tests(
      "Wire", "Transcode", needs: ["Transcode", "HTTP", "HTTP1", "HTTP2", "Primitives"]),
    tests("Wire", "JSONScan", needs: ["JSONScan", "JSON", "Primitives"]),
    tests("Wire", "JWT", needs: ["JWT", "COpenSSL", "JSON", "Primitives"]),
    tests("Wire", "GRPC", needs: ["GRPC", "JSON", "Primitives"], data: ["Goldens"]),
    tests(
      "Wire", "GRPCServer",
      needs: [
        "EventLoop", "GRPC", "GRPCServer", "HTTP", "HTTP2", "HTTPServer", "Primitives",
        "TestClient",
      ]),
    tests(
      "Shard", "KServe", needs: ["GRPC", "JSON", "KServe", "Primitives", "WorkerAPI"]),
    tests("Wire", "TLS", needs: ["TLS", "COpenSSL", "Primitives"]),
    tests(
      "Door", "Guard",
      needs: ["Guard", "HTTP1", "JSONScan", "JWT", "Primitives", "Telemetry"]),
    // Stories with real processes; `portico` is needed so that it is built.
    .testTarget(
      name: "IntegrationTests",
      dependencies: [
        "portico", "portico-worker", "portico-embed", "wire-verdict", "Admin", "CLinux",
        "EventLoop", "JSON",
        "Primitives", "TestClient",
      ],
      path: "Tests/IntegrationTests",
      exclude: [
        "openai_client.py", "worker_client.py", "grpc_client.py", "kserve_messages.py",
        "tls_client.py", "guard_client.py", "count_mallocs.c",
      ],
      swiftSettings: house),
  ]
)
