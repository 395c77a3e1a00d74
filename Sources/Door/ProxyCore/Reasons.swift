import Balancing
import Glibc
import HTTP
import Telemetry

/// How the reasons of other rooms read as reasons for the end of a request.
extension TerminationReason {
  /// What the client is told when no byte of an answer has gone out yet.
  var status: Int {
    switch self {
    case .connectTimeout, .firstByteTimeout, .responseHeadTimeout, .betweenChunksTimeout,
      .totalTimeout, .callDeadline, .upstreamWriteTimeout:
      504
    case .noRoute: 404
    case .plainHTTP: 400
    case .misdirected: 421
    case .refusedByRule, .addressDenied, .routeNotAllowed, .modelNotAllowed, .adminPathBlocked,
      .originNotAllowed:
      403
    case .credentialsMissing, .credentialsInvalid: 401
    case .modelMissing: 400
    case .keyConcurrency, .keyRequestRate, .keyTokenRate, .routeRequestRate, .clientRequestRate:
      429
    case .clientTimeoutHead, .clientTimeoutBody, .clientTooSlow: 408
    case .noMemberConfigured, .noMemberHealthy, .noMemberBreaker, .noMemberLimit,
      .noMemberDraining, .drainDeadline, .stopped, .connectNoResources:
      503
    case .completed, .answeredLocally, .tunnelClosed, .clientClosed, .clientTruncated,
      .rejectedSyntax, .rejectedLimit, .writeFailed, .clientReadTimeout, .clientHandshakeFailed,
      .clientTimeoutHandshake, .upstreamHandshakeFailed, .upstreamCertificate, .connectRefused,
      .connectFailed, .upstreamReset, .upstreamClosedEarly, .upstreamTruncated,
      .upstreamMalformed, .upstreamLimit, .upstreamStatus, .tunnelIdleTimeout, .internalError:
      502
    }
  }

  /// Why a connect failed, by errno.
  static func connectFailed(_ code: Int32) -> TerminationReason {
    switch code {
    case ECONNREFUSED: .connectRefused
    case ETIMEDOUT: .connectTimeout
    case EMFILE, ENFILE, ENOBUFS, ENOMEM, ENOSPC, EADDRNOTAVAIL: .connectNoResources
    default: .connectFailed
    }
  }

  init(_ rejection: Rejection) {
    switch rejection.status {
    case 408: self = rejection == .bodyTooSlow ? .clientTooSlow : .clientTimeoutHead
    case 413, 414, 431: self = .rejectedLimit
    default: self = .rejectedSyntax
    }
  }

  init(_ refusal: NoMember) {
    switch refusal {
    case .noMembers: self = .noMemberConfigured
    case .allDown: self = .noMemberHealthy
    case .allOpen, .allTried: self = .noMemberBreaker
    case .allCooling, .allFull: self = .noMemberLimit
    }
  }
}

extension MemberReading.Breaker {
  init(_ change: BreakerChange) {
    switch change {
    case .opened: self = .open
    case .halfOpened: self = .halfOpen
    case .closed: self = .closed
    }
  }
}

extension LimitName {
  /// The listener's limit that a refusal is about; nil for refusals by syntax.
  init?(_ rejection: Rejection) {
    switch rejection {
    case .targetTooLong: self = .target
    case .tooManyFields, .tooManyTrailers: self = .fields
    case .headTooLarge, .trailersTooLarge: self = .head
    case .bodyTooLarge: self = .body
    default: return nil
    }
  }
}
