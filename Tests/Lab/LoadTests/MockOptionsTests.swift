import Primitives
import Testing

@testable import Load

/// What breaks here: a person types a flag, and the mock does something else without a word.
@Suite struct MockOptionsTests {
  @Test func nothingAtAllIsOneEngine() throws {
    let options = try MockOptions.parse(arguments: [])
    #expect(options.engines == [MockSettings()])
    #expect(options.engines[0].address == SocketAddress("127.0.0.1:9001"))
    #expect(options.seed == 1)
  }

  @Test func flagsBelongToTheEngineBeforeThem() throws {
    let options = try MockOptions.parse(arguments: [
      "--gap", "5ms", "--listen", "9001", "--name", "fast", "--ttft=50ms", "--listen",
      "unix:/run/slow.sock", "--slots", "2", "--ttft", "1.5s", "--gap-slowdown", "0.25", "--head",
      "early", "--model", "a,b", "--seed", "9", "--garbage",
    ])
    var fast = MockSettings()
    fast.address = SocketAddress("127.0.0.1:9001")!
    fast.name = "fast"
    fast.gap = .milliseconds(5)
    fast.firstToken = .milliseconds(50)
    var slow = MockSettings()
    slow.address = .unix(path: "/run/slow.sock")
    slow.gap = .milliseconds(5)
    slow.firstToken = .milliseconds(1_500)
    slow.slots = 2
    slow.gapSlowdown = 0.25
    slow.head = .early
    slow.models = ["a", "b"]
    slow.fault = .garbage
    #expect(options.engines == [fast, slow])
    #expect(options.seed == 9)
  }

  @Test(arguments: [
    (["mock"], "unexpected argument 'mock'; options begin with '--'"),
    (["--tftt", "1s"], "unknown option '--tftt'; did you mean '--ttft'?"),
    (["--listn", "1"], "unknown option '--listn'; did you mean '--listen'?"),
    (["--frobnicate"], "unknown option '--frobnicate'"),
    (["--ttft"], "--ttft needs a value"),
    (["--ttft", "12"], "--ttft: '12' is not a time; write it like 200ms, 1.5s or 0"),
    (["--ttft", "-1s"], "--ttft: '-1s' is not a time; write it like 200ms, 1.5s or 0"),
    (["--tokens", "many"], "--tokens: 'many' is not a whole number from 0 to 1000000"),
    (["--jitter", "2"], "--jitter: '2' is not a number from 0 to 1"),
    (["--head", "soon"], "--head: 'soon' is neither 'late' nor 'early'"),
    (
      ["--name", "a b"], "--name: 'a b' is not a name: use letters, digits and signs without spaces"
    ),
    (["--status", "42"], "--status: '42' is not a whole number from 200 to 599"),
    (
      ["--fault", "status=503"],
      "--fault: 'status=503' has no probability; write it like status=503@0.05"
    ),
    (["--fault", "rest@0.1"], "--fault: unknown fault 'rest'; did you mean 'reset'?"),
    (
      ["--fault", "reset@0.6", "--fault", "stall@0.6"],
      "--fault: the probabilities of all faults exceed 1"
    ),
    (["--seed", "x"], "--seed: 'x' is not a whole number"),
    (
      ["--listen", "nowhere"],
      "--listen: 'nowhere' is not an address; write it like 9001, 127.0.0.1:9001, [::1]:9001 or "
        + "unix:/run/mock.sock"
    ),
  ])
  func whatIsWrongIsSaid(arguments: [String], text: String) {
    #expect(throws: MockComplaint(text)) { try MockOptions.parse(arguments: arguments) }
  }

  @Test(arguments: [
    ("reset", MockFault.reset(afterTokens: nil)), ("reset=head", .reset(afterTokens: nil)),
    ("reset=0", .reset(afterTokens: 0)), ("reset=3", .reset(afterTokens: 3)),
    ("stall", .stall(afterTokens: nil)), ("stall=2", .stall(afterTokens: 2)),
    ("truncate", .truncate(afterTokens: 1)), ("truncate=4", .truncate(afterTokens: 4)),
    ("drip", .drip(.milliseconds(10))), ("drip=250us", .drip(.microseconds(250))),
    ("garbage", .garbage), ("status=429", .status(429)),
  ])
  func faultsByName(list: String, fault: MockFault) throws {
    var settings = MockSettings()
    try MockParameters.apply(list, of: MockParameters.ofRequest, strict: true, to: &settings)
    #expect(settings.fault == fault)
    settings.chances = []
    let chance = list + "@0.25"
    try MockParameters.set("fault", to: chance, in: &settings)
    #expect(settings.chances == [.init(fault: fault, probability: 0.25)])
  }

  /// Other people's query parameters are none of our business; a header of ours is.
  @Test func unknownParameters() throws {
    var settings = MockSettings()
    let names = MockParameters.ofRequest
    try MockParameters.apply("api-version=1&tokens=3", of: names, strict: false, to: &settings)
    #expect(settings.tokens == 3)
    let text = "unknown mock parameter 'tokns'; did you mean 'tokens'?"
    #expect(throws: MockComplaint(text)) {
      try MockParameters.apply("tokns=3", of: names, strict: true, to: &settings)
    }
    #expect(throws: MockComplaint("unknown mock parameter 'slots'")) {
      try MockParameters.apply("slots=3", of: names, strict: true, to: &settings)
    }
  }

  /// The help is what people copy from: every flag it shows must be one.
  @Test func theHelpNamesTheFlags() {
    for name in MockParameters.ofEngine {
      let flag = "--" + String(name.map { $0 == "_" ? "-" : $0 })
      #expect(MockOptions.help.contains(flag), "\(flag) is missing")
    }
    #expect(MockOptions.help.split(separator: "\n").allSatisfy { $0.count <= 100 })
  }
}
