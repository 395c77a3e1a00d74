import JWT
import Primitives

/// The questions in their order. What costs nothing and says nothing comes first; what is charged
/// comes last, so that a request which is refused has used up nothing but its address's share.
extension GuardRules {
  package enum Finding {
    case passed(Caller)
    case refused(Refusal)
  }

  /// Who is asking, and whether from where: everything that needs no body.
  ///
  /// - Parameters:
  ///   - client: nil when it has no address, or where `needsClient` says no.
  ///   - unixSeconds: of the wall clock, by which tokens expire.
  package func examine(
    listener: Int, route: Int, client: ClientAddress?, credentials: Credentials,
    cache: inout TokenCache, at now: Instant, unixSeconds: Int64
  ) -> Finding {
    let door = listeners + listener
    let way = routes + route
    if needsClient(listener: listener, route: route),
      let refusal = judge(client, door, way, at: now)
    {
      return .refused(refusal)
    }
    let wanted = way.pointee.authentication ?? door.pointee.authentication
    if wanted == .none { return .passed(.nobody) }
    return identify(
      wanted, credentials, route: route, cache: &cache, at: now, unixSeconds: unixSeconds)
  }

  private func judge(
    _ client: ClientAddress?, _ door: UnsafeMutablePointer<ListenerRules>,
    _ way: UnsafeMutablePointer<RouteRules>, at now: Instant
  ) -> Refusal? {
    guard door.pointee.addresses.admits(client), way.pointee.addresses.admits(client) else {
      return Refusal(.addressDenied)
    }
    // Peers without an address are the operator's own.
    guard let client else { return nil }
    return take(client, door.pointee.clientLimit, door.pointee.clients, at: now)
      ?? take(client, way.pointee.clientLimit, way.pointee.clients, at: now)
  }

  private func take(
    _ client: ClientAddress, _ limit: RateLimit?, _ clients: ClientBuckets?, at now: Instant
  ) -> Refusal? {
    guard let limit, let clients,
      case .refused(let wait) = clients.take(client.bucket, 1, limit, at: now)
    else { return nil }
    var refusal = Refusal(.clientRequestRate)
    refusal.limit = limit
    refusal.wait = wait
    return refusal
  }

  private func identify(
    _ wanted: Authentication, _ credentials: Credentials, route: Int, cache: inout TokenCache,
    at now: Instant, unixSeconds: Int64
  ) -> Finding {
    var refusal: Refusal
    switch credentials {
    case .none:
      refusal = Refusal(.credentialsMissing)
      refusal.authentication = wanted
      return .refused(refusal)
    case .ambiguous:
      return .refused(Refusal(.credentialsInvalid))
    case .presented(let text):
      let digest = Digest(of: text)
      if wanted != .token, let place = keys.find(digest) {
        let routes = keys.keys[place].routes
        if routes.isEmpty || routes.contains(route) { return .passed(.key(place)) }
        refusal = Refusal(.routeNotAllowed)
        refusal.caller = .key(place)
        return .refused(refusal)
      }
      refusal = Refusal(.credentialsInvalid)
      refusal.authentication = wanted
      guard let tokens, wanted == .token || (wanted == .either && Credentials.looksLikeToken(text))
      else { return .refused(refusal) }
      switch cache.verify(text, digest, tokens, unixSeconds: unixSeconds) {
      case .success(let name): return .passed(.token(name))
      case .failure(let reason):
        refusal.token = reason
        return .refused(refusal)
      }
    }
  }
}

/// Tokens that one loop has verified lately: a signature costs as much as several requests, and a
/// client sends the same token until it expires. Bounded; forgotten with each new configuration.
package struct TokenCache {
  /// Tokens. Count; one in each place, found by hash.
  static let capacity = 1_024

  private struct Entry {
    let digest: Digest
    let expires: Int64
    let name: UInt64
    let text: [UInt8]
  }

  private var entries: [Entry?] = []
  /// Of the token that was verified last.
  package private(set) var lastName: [UInt8] = []

  package init() {}

  package mutating func forget() { entries = [] }

  mutating func verify(
    _ token: UnsafeRawBufferPointer, _ digest: Digest, _ rules: TokenRules, unixSeconds: Int64
  ) -> Result<UInt64, TokenRefusal> {
    let place = Int(truncatingIfNeeded: digest.d) & (Self.capacity - 1)
    if !entries.isEmpty, let entry = entries[place], entry.digest == digest,
      unixSeconds < entry.expires
    {
      lastName = entry.text
      return .success(entry.name)
    }
    do throws(TokenRefusal) {
      let verified = try rules.verifier.verify(token, at: unixSeconds)
      let text = verified.texts(rules.nameClaim).first ?? verified.subject ?? ""
      // A name for the log, not for rules: those go by the hash of all of it.
      lastName = Array(text.utf8.prefix(128))
      let name = Array(text.utf8).withUnsafeBytes { Digest(of: $0).a }
      if entries.isEmpty { entries = .init(repeating: nil, count: Self.capacity) }
      entries[place] = Entry(
        digest: digest, expires: verified.expires ?? .max, name: name, text: lastName)
      return .success(name)
    } catch {
      return .failure(error)
    }
  }
}
