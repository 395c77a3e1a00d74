import Primitives

/// What `portico mock` was asked to be: one engine or several, in one process on one loop.
package struct MockOptions: Sendable, Equatable {
  package var engines: [MockSettings]
  /// Of faults and jitter. The same seed and the same requests give the same faults.
  package var seed: UInt64 = 1

  package init(engines: [MockSettings]) { self.engines = engines }

  /// Reads the command line, without the words `portico mock`.
  ///
  /// Each `--listen` begins an engine. Flags before the first are defaults for all, flags behind
  /// one belong to it.
  package static func parse(arguments: [String]) throws(MockComplaint) -> MockOptions {
    var options = MockOptions(engines: [])
    var common = MockSettings()
    var rest = arguments[...]
    while let argument = rest.popFirst() {
      guard argument.hasPrefix("--"), argument.count > 2 else {
        throw MockComplaint("unexpected argument '\(argument)'; options begin with '--'")
      }
      let pair = argument.dropFirst(2).split(
        separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
      let flag = String(pair[0])
      let name = String(flag.map { $0 == "-" ? "_" : $0 })
      guard flags.contains(flag) else {
        let hint = Spelling.hint("--" + flag, among: flags.map { "--" + $0 })
        throw MockComplaint("unknown option '--\(flag)'" + hint)
      }
      let value: String
      if pair.count == 2 {
        value = String(pair[1])
      } else if name == "garbage" {
        value = ""
      } else if let next = rest.popFirst() {
        value = next
      } else {
        throw MockComplaint("--\(flag) needs a value")
      }
      do throws(MockComplaint) {
        switch name {
        case "listen":
          var engine = common
          engine.address = try address(value)
          options.engines.append(engine)
        case "seed":
          guard let seed = UInt64(value) else {
            throw MockComplaint("'\(value)' is not a whole number")
          }
          options.seed = seed
        default:
          if options.engines.isEmpty {
            try MockParameters.set(name, to: value, in: &common)
          } else {
            let last = options.engines.count - 1
            try MockParameters.set(name, to: value, in: &options.engines[last])
          }
        }
      } catch {
        throw MockComplaint("--\(flag): \(error)")
      }
    }
    if options.engines.isEmpty { options.engines = [common] }
    return options
  }

  private static let flags =
    ["listen", "seed"] + MockParameters.ofEngine.map { String($0.map { $0 == "_" ? "-" : $0 }) }

  /// `9001` alone means that port on loopback.
  private static func address(_ text: String) throws(MockComplaint) -> SocketAddress {
    guard let address = SocketAddress(text) ?? SocketAddress("127.0.0.1:" + text) else {
      throw MockComplaint(
        "'\(text)' is not an address; write it like 9001, 127.0.0.1:9001, [::1]:9001 or "
          + "unix:/run/mock.sock")
    }
    return address
  }

  package static let help = """
    usage: portico mock [options]

    Pretends to be one or more inference engines with an OpenAI API, for tests and demos:
    /v1/chat/completions, /v1/completions (both plain and streamed), /v1/embeddings, /v1/models,
    /v1/realtime (a WebSocket that echoes bytes as they are, or with ?frames message by message),
    /health, /metrics (with vLLM's names).

      --listen ADDRESS   begins an engine: 9001, 127.0.0.1:9001, [::1]:9001, unix:/run/mock.sock
                         (default 127.0.0.1:9001). Repeat it for more engines; options before the
                         first are for all, options behind one are for that one.
      --name NAME        in X-Mock-Name and in the answers (default mock-PORT)
      --model NAME,...   models it serves (default mock)
      --slots COUNT      requests that run at once, others wait (default 0, no limit)
      --ttft TIME        time to first token (default 100ms)
      --gap TIME         time between tokens (default 20ms)
      --tokens COUNT     tokens of an answer (default 32); max_tokens of a request lowers it
      --slowdown SHARE   ttft grows by this share for each other running request (default 0)
      --gap-slowdown SHARE
                         the same for the gap (default 0)
      --jitter SHARE     both times vary by up to this share (default 0)
      --head WHEN        late: the head comes with the first token (default); early: at once
      --health STATUS    what /health answers (default 200)
      --seed NUMBER      of jitter and faults (default 1)

    Faults, done to every request:
      --status CODE      answer with this status; --retry-after SECONDS goes with it
      --reset WHERE      TCP reset: head (before anything is sent), or after so many tokens
      --stall WHERE      send nothing more: head, or after so many tokens
      --truncate COUNT   close in the middle of the answer, after so many tokens
      --drip TIME        one byte per TIME
      --garbage          bytes that are no HTTP
    or to a share of them (repeat for more kinds):
      --fault KIND=VALUE@SHARE
                         as in --fault status=503@0.05 --fault reset=3@0.01

    One request may ask for its own behaviour, in its query string or the header X-Mock:
      curl -H 'X-Mock: ttft=2s&tokens=5&status=503&retry_after=2' ...
      curl 'http://127.0.0.1:9001/v1/completions?truncate=3' ...
    A running engine is changed for all further requests by
      curl -X POST 'http://127.0.0.1:9001/mock?ttft=2s&fault=none&health=503'

    """
}
