import JSONScan
import JWT
import Primitives
import Telemetry

/// Why a request is not let in, with what its answer says about it.
package struct Refusal: Sendable {
  package let reason: TerminationReason
  /// Whose rule it is.
  package var caller = Caller.nobody
  /// What would have been accepted.
  package var authentication = Authentication.none
  /// The rate that is used up.
  package var limit: RateLimit?
  /// Until it has recovered; nil where waiting does not help, or nobody knows.
  package var wait: TimeAmount?
  /// Tokens that the request may take, or requests that may be in progress. Count.
  package var count = 0
  package var token: TokenRefusal?
  package var scan: ScanRefusal?

  package init(_ reason: TerminationReason) { self.reason = reason }

  /// Rounded up, and at least one: a client that comes too early is refused again.
  package var retryAfterSeconds: UInt32? {
    wait.map { UInt32(clamping: max(1, Int64($0.seconds.rounded(.up)))) }
  }

  /// What is wrong and what to do. No quotes and no backslashes, whatever the request said.
  ///
  /// - Parameter model: as the request named it; left out unless it consists of harmless bytes.
  package func write(
    _ rules: GuardRules, route: Int, model: UnsafeRawBufferPointer?, into text: inout Sentence
  ) {
    switch reason {
    case .credentialsMissing:
      text.put("This route asks for ")
      text.put(authentication.noun)
      text.put("; send it as Authorization: Bearer ")
      text.put(authentication == .token ? "TOKEN." : "KEY.")
    case .credentialsInvalid:
      if let token {
        text.put(token.text)
      } else if authentication == .none {
        text.put("There is more than one field with credentials; send exactly one.")
      } else {
        text.put(
          authentication == .apiKey
            ? "The API key is not known here; check it, or ask for another one."
            : "These credentials are not known here; check them, or ask for others.")
      }
    case .addressDenied:
      text.put("Requests from this address are not taken here.")
    case .routeNotAllowed:
      put(caller, rules, &text)
      text.put(" may not use the route ")
      text.put(quoted: rules.routeName(route))
      text.put("; its routes do not name it.")
    case .modelNotAllowed:
      if rules.restricts(caller) { put(caller, rules, &text) } else { put(route, rules, &text) }
      text.put(rules.restricts(caller) ? " may not use " : " does not take ")
      if let model, Sentence.isHarmless(model) {
        text.put("the model ")
        text.put(quoted: model)
      } else {
        text.put("this model")
      }
      text.put("; its models do not name it.")
    case .modelMissing:
      if let scan {
        text.put(scan.description)
      } else if count > 0 {
        text.put("No model was found in the first ")
        text.put(decimal: count)
        text.put(" bytes of the body (model_search); put the model before the messages.")
      } else {
        text.put("Only some models are allowed, and none can be read from this body; send JSON.")
      }
    case .adminPathBlocked:
      text.put("This path administers an engine; admin_paths of the route ")
      text.put(quoted: rules.routeName(route))
      text.put(" blocks it.")
    case .originNotAllowed:
      text.put("Pages of this origin may not use the route ")
      text.put(quoted: rules.routeName(route))
      text.put("; its cors.origins do not name it.")
    case .keyConcurrency:
      put(caller, rules, &text)
      text.put(" may have ")
      text.put(decimal: count)
      text.put(" requests in progress (concurrency); wait for one of them.")
    case .keyRequestRate: putRate("requests", caller: caller, rules, route, &text)
    case .keyTokenRate: putRate("tokens", caller: caller, rules, route, &text)
    case .routeRequestRate: putRate("requests", caller: nil, rules, route, &text)
    case .clientRequestRate: putRate("requests_per_client", caller: nil, rules, route, &text)
    default: text.put(reason.text)
    }
  }

  private func putRate(
    _ key: StaticString, caller: Caller?, _ rules: GuardRules, _ route: Int,
    _ text: inout Sentence
  ) {
    guard let limit else { return }
    if let caller {
      put(caller, rules, &text)
    } else if reason == .clientRequestRate {
      text.put("One address")
    } else {
      put(route, rules, &text)
    }
    text.put(reason == .keyTokenRate ? " may take " : " may make ")
    if caller == nil, reason == .routeRequestRate { text.replaceLast(10, " takes ") }
    text.put(decimal: limit.count)
    text.put(reason == .keyTokenRate ? " tokens" : " requests")
    text.put(limit.periodText)
    text.put(" (")
    text.put(key)
    if let seconds = retryAfterSeconds {
      text.put("); try again in ")
      text.put(decimal: Int(seconds))
      text.put(" s.")
    } else {
      text.put("), at most ")
      text.put(decimal: limit.burst)
      text.put(" at once, and this request may take ")
      text.put(decimal: count)
      text.put("; send a shorter one.")
    }
  }

  private func put(_ route: Int, _ rules: GuardRules, _ text: inout Sentence) {
    text.put("The route ")
    text.put(quoted: rules.routeName(route))
  }

  private func put(_ caller: Caller, _ rules: GuardRules, _ text: inout Sentence) {
    switch caller {
    case .key(let place):
      text.put("The API key ")
      rules.keys.keys[place].name.withUnsafeBytes { text.put(quoted: $0) }
    case .token, .nobody: text.put("The bearer of this token")
    }
  }
}

extension Authentication {
  fileprivate var noun: StaticString {
    switch self {
    case .none, .apiKey: "an API key"
    case .token: "a JSON web token"
    case .either: "an API key or a JSON web token"
    }
  }
}

extension RateLimit {
  fileprivate var periodText: StaticString {
    switch period.nanoseconds {
    case 1_000_000_000: " per second"
    case 60_000_000_000: " per minute"
    default: " per hour"
    }
  }
}

/// A sentence under construction, in memory that is lent for it. What does not fit is left out.
package struct Sentence: ~Copyable {
  /// Three names of at most 256 bytes and the words around them.
  package static let limitBytes = 1_280

  private let memory: UnsafeMutableRawBufferPointer
  private var count = 0

  package init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

  package var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: memory[..<count])
  }

  package mutating func put(_ text: UnsafeRawBufferPointer) {
    let room = min(text.count, memory.count - count)
    guard room > 0 else { return }
    UnsafeMutableRawBufferPointer(rebasing: memory[count..<(count + room)])
      .copyMemory(from: UnsafeRawBufferPointer(rebasing: text[..<room]))
    count += room
  }

  package mutating func put(_ text: StaticString) {
    put(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
  }

  package mutating func put(_ text: String) {
    var text = text
    text.withUTF8 { put(UnsafeRawBufferPointer($0)) }
  }

  package mutating func put(quoted name: UnsafeRawBufferPointer) {
    put("'")
    put(name)
    put("'")
  }

  package mutating func put(quoted name: [UInt8]) {
    name.withUnsafeBytes { put(quoted: $0) }
  }

  package mutating func put(decimal number: Int) {
    var digits: InlineArray<20, UInt8> = .init(repeating: 0)
    var rest = UInt64(max(0, number))
    var place = 20
    repeat {
      place -= 1
      digits[place] = UInt8(truncatingIfNeeded: rest % 10) + 0x30
      rest /= 10
    } while rest > 0
    withUnsafeBytes(of: digits) { put(UnsafeRawBufferPointer(rebasing: $0[place...])) }
  }

  mutating func replaceLast(_ length: Int, _ text: StaticString) {
    count = max(0, count - length)
    put(text)
  }

  /// Goes into JSON and into a header field as it stands.
  static func isHarmless(_ text: UnsafeRawBufferPointer) -> Bool {
    !text.isEmpty
      && text.allSatisfy { byte in
        switch byte {
        case 0x30...0x39, 0x41...0x5a, 0x61...0x7a: true
        case 0x2d, 0x2e, 0x2f, 0x3a, 0x40, 0x5f, 0x2b: true
        default: false
        }
      }
  }
}
