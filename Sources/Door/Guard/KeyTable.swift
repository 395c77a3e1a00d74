import Primitives
import Synchronization

/// How much one caller may ask for. What is nil has no limit.
package struct CallerLimits: Sendable, Equatable {
  package var requests: RateLimit?
  /// Prompt and completion together.
  package var tokens: RateLimit?
  /// Requests in progress over all loops. Count; 0 means no limit.
  package var concurrency = 0

  package init() {}
}

/// The requests in progress of one API key, over all loops. Outlives reloads.
package final class KeyCell: Sendable {
  private let inProgress = Atomic<Int>(0)

  package init() {}

  package var requestsInProgress: Int { inProgress.load(ordering: .relaxed) }

  /// One more request, unless there are that many already; 0 is no limit.
  func begin(limit: Int) -> Bool {
    let (_, count) = inProgress.wrappingAdd(1, ordering: .relaxed)
    if limit == 0 || count <= limit { return true }
    inProgress.wrappingSubtract(1, ordering: .relaxed)
    return false
  }

  func end() { inProgress.wrappingSubtract(1, ordering: .relaxed) }
}

/// One API key and what it may do. The key itself is nowhere: only its hash.
package struct APIKey: Sendable {
  /// Identity for telemetry, the same in every snapshot.
  package let id: Int
  package let name: [UInt8]
  package let digest: Digest
  /// Empty: every model.
  package let models: [Glob]
  /// Identities of routes. Empty: every route.
  package let routes: [Int]
  package let limits: CallerLimits
  package let requests: RateBucket
  package let tokens: RateBucket
  package let cell: KeyCell

  package init(
    id: Int, name: String, digest: Digest, models: [Glob], routes: [Int], limits: CallerLimits,
    requests: RateBucket, tokens: RateBucket, cell: KeyCell
  ) {
    self.id = id
    self.name = Array(name.utf8)
    self.digest = digest
    self.models = models
    self.routes = routes
    self.limits = limits
    self.requests = requests
    self.tokens = tokens
    self.cell = cell
  }
}

/// All API keys of a snapshot, found by hash.
///
/// A binary search takes a time that depends on the hash of what was presented. That tells nothing:
/// nobody can choose a key by the first bits of its hash and come nearer to a valid one thereby. The
/// last comparison, of the whole hash, takes the same time wherever two differ.
package struct KeyTable: Sendable {
  package let keys: [APIKey]
  private let firsts: [UInt64]

  package init(_ keys: [APIKey] = []) {
    self.keys = keys.sorted { $0.digest.a < $1.digest.a }
    firsts = self.keys.map(\.digest.a)
  }

  package var isEmpty: Bool { keys.isEmpty }

  /// The place of the key with this hash.
  package func find(_ digest: Digest) -> Int? {
    firsts.withUnsafeBufferPointer { firsts in
      var low = 0
      var high = firsts.count
      while low < high {
        let middle = (low + high) / 2
        if firsts[middle] < digest.a { low = middle + 1 } else { high = middle }
      }
      while low < firsts.count, firsts[low] == digest.a {
        if keys[low].digest == digest { return low }
        low += 1
      }
      return nil
    }
  }
}
