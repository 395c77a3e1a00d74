import Primitives

/// How often what happens. Chances are per opportunity, 0...1.
///
/// A climate is a mood of the world; a seed picks the day in it. Some days are odd: `exaggerate`
/// makes a few rare things common, as FoundationDB's buggify does, because the worst bugs need two
/// rare things at once.
package struct Climate: Sendable {
  package enum Name: String, CaseIterable, Sendable {
    case calm
    case busy
    case flaky
    case hostile
    case slow
    case reload
    case chaos
  }

  var name: Name

  // The network.
  var latency: ClosedRange<TimeAmount> = .microseconds(50) ... .milliseconds(2)
  var jittery = 0.05
  var fragmenting = 0.1
  var smallWindow = 0.05
  /// Before a loop takes its turn.
  var turnDelay: ClosedRange<TimeAmount> = .zero ... .microseconds(50)

  // Clients.
  var users = 8
  var think: ClosedRange<TimeAmount> = .zero ... .milliseconds(50)
  /// A pause long enough to meet idle timeouts.
  var longThink = 0.02
  var pipelining = 0.1
  var ownAnswers = 0.06
  var bigBody = 0.02
  var chunkedRequest = 0.3
  var expectContinue = 0.1
  var http10 = 0.05
  var closing = 0.1
  var behindBalancer = 0.1
  var tunnel = 0.02
  var idempotencyKey = 0.2
  var leaving = 0.0
  var halfClosing = 0.0
  var dripping = 0.0
  var stalling = 0.0
  var garbage = 0.0
  var slowReading = 0.0
  var neverReading = 0.0
  /// Many small requests at once.
  var flooding = 0.0

  // HTTP/2, at either end.
  /// Windows of streams so small that every answer waits for them.
  var smallStreamWindow = 0.05
  var changingSettings = 0.05
  /// A backend takes few streams at once.
  var fewStreams = 0.1
  /// A backend does not look at a stream.
  var refusing = 0.0
  /// A backend takes no more streams on this connection.
  var goingAway = 0.0

  // Backends.
  var service: ClosedRange<TimeAmount> = .milliseconds(1) ... .milliseconds(60)
  var streaming = 0.3
  var bigAnswer = 0.02
  var interim = 0.05
  var earlyAnswer = 0.0
  var serverError = 0.0
  var backpressure = 0.0
  var malformed = 0.0
  var truncated = 0.0
  var resetting = 0.0
  var stalled = 0.0
  /// Closes after an answer without having said so.
  var closingSilently = 0.02
  /// Closes when the next request is coming in.
  var closingOnRequest = 0.0
  var extraBytes = 0.0
  var slowRequestReading = 0.0
  /// Times during a run at which a backend goes away.
  var outages = 0.0
  var connectFailure = 0.0

  // The operator.
  /// Times during a run at which a member is drained and comes back, or fails its probes for a while.
  var memberTurns = 0.0
  var reloads = 0
  /// The drain begins while requests are under way.
  var drainsEarly = 0.1

  init(_ name: Name) {
    self.name = name
    switch name {
    case .calm:
      closingSilently = 0
    case .busy:
      users = 24
      pipelining = 0.3
      think = .zero ... .milliseconds(5)
    case .flaky: beFlaky()
    case .hostile: beHostile()
    case .slow: beSlow()
    case .reload:
      reloads = 12
      memberTurns = 0.5
      leaving = 0.02
      serverError = 0.05
      closingOnRequest = 0.02
      goingAway = 0.02
    case .chaos:
      beFlaky()
      beHostile()
      beSlow()
      reloads = 5
      memberTurns = 0.3
      users = 16
    }
  }

  private mutating func beFlaky() {
    earlyAnswer = 0.03
    serverError = 0.06
    backpressure = 0.05
    malformed = 0.03
    truncated = 0.03
    resetting = 0.05
    stalled = 0.02
    closingSilently = 0.1
    closingOnRequest = 0.05
    extraBytes = 0.02
    refusing = 0.03
    goingAway = 0.03
    slowRequestReading = 0.02
    outages = 0.3
    connectFailure = 0.01
  }

  private mutating func beHostile() {
    leaving = 0.12
    halfClosing = 0.04
    dripping = 0.04
    stalling = 0.03
    garbage = 0.08
    slowReading = 0.08
    neverReading = 0.03
    flooding = 0.02
    pipelining = 0.3
  }

  private mutating func beSlow() {
    latency = .milliseconds(1) ... .milliseconds(80)
    jittery = 0.4
    fragmenting = 0.6
    smallWindow = 0.5
    smallStreamWindow = 0.3
    changingSettings = 0.2
    turnDelay = .zero ... .milliseconds(2)
    bigBody = 0.06
    bigAnswer = 0.06
    slowReading = max(slowReading, 0.1)
    slowRequestReading = 0.1
  }

  /// Makes some of the rare things common. A calm day stays calm.
  mutating func exaggerate(_ random: inout SeededRandom) {
    guard name != .calm else { return }
    for rate in Self.rates where random.chance(0.08) && self[keyPath: rate] > 0 {
      self[keyPath: rate] = min(0.9, self[keyPath: rate] * Double(random.between(4, 20)))
    }
    if random.chance(0.1) { think = .zero ... .zero }
    if random.chance(0.1) { users = 1 + random.below(users) }
  }

  private static var rates: [WritableKeyPath<Climate, Double>] {
    [
      \.jittery, \.fragmenting, \.smallWindow, \.longThink, \.pipelining, \.ownAnswers, \.bigBody,
      \.chunkedRequest, \.expectContinue, \.http10, \.closing, \.tunnel, \.leaving, \.halfClosing,
      \.dripping, \.stalling, \.garbage, \.slowReading, \.neverReading, \.flooding, \.streaming,
      \.bigAnswer,
      \.interim, \.earlyAnswer, \.serverError, \.backpressure, \.malformed, \.truncated,
      \.resetting, \.stalled, \.closingSilently, \.closingOnRequest, \.extraBytes,
      \.slowRequestReading, \.smallStreamWindow, \.changingSettings, \.fewStreams, \.refusing,
      \.goingAway, \.outages, \.connectFailure, \.memberTurns, \.drainsEarly,
    ]
  }
}
