import Primitives

/// What the operator asks of requests before they may go on, in `Settings`.

/// A rate as it is written: `600/m`.
package struct RateSetting: Sendable, Equatable {
  package var count: Int
  package var period: TimeAmount

  package init(count: Int, period: TimeAmount) {
    self.count = count
    self.period = period
  }
}

package enum AuthenticationSetting: String, Sendable, CaseIterable {
  case none
  case apiKey = "api_key"
  case jwt
  case either
}

package struct AccessSettings: Sendable, Equatable {
  /// nil: as the listener asks; on a listener: nothing.
  package var authenticate: AuthenticationSetting?
  /// Client addresses that may come. Empty: all that are not denied.
  package var allow: [AddressBlock] = []
  package var deny: [AddressBlock] = []
  package init() {}
}

package struct CallerLimitSettings: Sendable, Equatable {
  package var requests: RateSetting?
  /// Requests that may come at once. Count; 0 means as many as in one period.
  package var requestBurst = 0
  /// Tokens of prompt and completion together.
  package var tokens: RateSetting?
  /// Tokens that may be taken at once. Count; 0 means as many as in one period.
  package var tokenBurst = 0
  /// Requests in progress. Count; 0 means no limit.
  package var concurrency = 0
  package init() {}
}

package struct APIKeySettings: Sendable, Equatable {
  /// Shown in logs, metrics and refusals.
  package var name = ""
  /// In lower-case hexadecimal. The key itself stands nowhere.
  package var sha256 = ""
  /// Names with `*`. Empty: every model.
  package var models: [String] = []
  /// Names of routes. Empty: every route.
  package var routes: [String] = []
  package var limits = CallerLimitSettings()
  package init() {}
}

package enum TokenAlgorithmSetting: String, Sendable, CaseIterable {
  case rs256 = "RS256"
  case es256 = "ES256"
  case edDSA = "EdDSA"
}

package struct JWTSettings: Sendable, Equatable {
  package var issuer = ""
  /// Empty: only tokens that are meant for nobody in particular.
  package var audience: String?
  /// Path of the file with the public keys.
  package var keysFile = ""
  /// What stands in it, read with the configuration.
  package var keys: [UInt8] = []
  package var algorithms: [TokenAlgorithmSetting] = TokenAlgorithmSetting.allCases
  /// Difference of clocks that is forgiven: a minute is what most verifiers take.
  package var leeway = TimeAmount.seconds(60)
  package var requiredClaims: [String] = []
  package var nameClaim = "sub"
  /// For each name.
  package var limits = CallerLimitSettings()
  package init() {}
}

package struct RouteLimitSettings: Sendable, Equatable {
  package var requests: RateSetting?
  package var requestBurst = 0
  package var requestsPerClient: RateSetting?
  package var clientBurst = 0
  /// Bytes of a request body; nil: as the listener.
  package var body: Int?
  package init() {}
}

package struct CORSSettings: Sendable, Equatable {
  package var origins: [String] = []
  package var methods = ["GET", "POST"]
  /// Empty: whatever a page asks for.
  package var headers: [String] = []
  package var exposedHeaders: [String] = []
  package var credentials = false
  /// Chrome believes no more than two hours.
  package var maxAge = TimeAmount.seconds(600)
  package init() {}
}

package struct HeaderLine: Sendable, Equatable {
  package var name: String
  package var value: String

  package init(_ name: String, _ value: String) {
    self.name = name
    self.value = value
  }
}

package struct HeaderEditSettings: Sendable, Equatable {
  package var set: [HeaderLine] = []
  package var append: [HeaderLine] = []
  package var remove: [String] = []
  package init() {}

  package var isEmpty: Bool { self.set.isEmpty && append.isEmpty && remove.isEmpty }
}

package enum AdminPathSettings: Sendable, Equatable {
  case allow
  /// All but these.
  case block(except: [String])
}

package enum CredentialSetting: String, Sendable, CaseIterable {
  case drop
  case keep
}
