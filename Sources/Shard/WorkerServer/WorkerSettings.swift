import HTTPServer
import ModelFiles
import Primitives
import WorkerAPI

/// Limits and times of a worker's server. Each limit is named in the refusal that it causes.
package struct WorkerSettings: Sendable {
  /// What `/version` says.
  package var version = "0"
  /// Texts being made or waiting, and requests being prepared. Count. vLLM's default batch on CPUs is
  /// 128, so this is three batches of waiting behind the one that runs.
  package var inFlightLimit = 512
  /// Texts of one request: prompts times `n`. Count; OpenAI's limit of `n`.
  package var choiceLimit = 128
  /// Stop strings of a request. Count; OpenAI takes 4.
  package var stopLimit = 16
  /// Bytes of one stop string: as much text may be held back while streaming.
  package var stopBytes = 1_024
  /// Stop tokens of a request. Count.
  package var stopTokenLimit = 128
  /// Members of `logit_bias`. Count; each costs a little in every step.
  package var biasLimit = 1_024
  /// Bytes of a request's body. A context of a million tokens is about 4 MB of English.
  package var bodyBytes = 20 << 20
  /// Values within one body. Count; a value takes up to 200 bytes of memory once it is read.
  package var valueLimit = 1_000_000
  /// Bodies up to this size are read on the loop, which takes about a millisecond; longer ones
  /// elsewhere. Bytes.
  package var inlineBytes = 32 << 10
  /// Bytes of bodies that wait to be read elsewhere.
  package var preparingBytes = 64 << 20
  /// Bytes of a stream kept for a client that does not read, beyond what its connection holds.
  package var heldBytes = 1 << 20
  /// The engine speaks at least once a second; silence for this long and `/health` says so.
  package var heartbeatLimit = TimeAmount.seconds(30)
  /// Requests run, but neither a token nor a step has come for so long: `/ready` says so.
  package var stallLimit = TimeAmount.seconds(60)
  /// Retry-After of a full queue. Seconds.
  package var queueRetrySeconds = 1
  /// Retry-After while weights are loaded, and when a group was lost. Seconds; a group of a small
  /// model is back within two.
  package var loadingRetrySeconds = 2
  /// A request is given up so long after it came; nil: never, since front doors and clients have
  /// limits of their own.
  package var requestTimeout: TimeAmount?
  /// `drain` gives up what still runs after this. Less than the 30 s that Kubernetes grants.
  package var drainLimit = TimeAmount.seconds(25)

  package init() {}

  /// What the HTTP server before it must allow and forbid.
  package var httpLimits: HTTPServerLimits {
    var limits = HTTPServerLimits()
    limits.bodyBytes = bodyBytes
    // Tokens that nobody reads cost the others time.
    limits.leavingAborts = true
    return limits
  }
}

/// Who the model is, for clients.
package struct ModelCard: Sendable {
  package var name: String
  /// Other names that requests may use.
  package var aliases: [String]
  /// Seconds since 1970.
  package var created: Int64
  /// Tokens; the engine's own limit counts once it is known.
  package var contextLimit: Int
  package var defaults: GenerationDefaults

  package init(
    name: String, aliases: [String] = [], created: Int64, contextLimit: Int,
    defaults: GenerationDefaults = GenerationDefaults()
  ) {
    self.name = name
    self.aliases = aliases
    self.created = created
    self.contextLimit = contextLimit
    self.defaults = defaults
  }

  func isNamed(_ asked: String) -> Bool { asked == name || aliases.contains(asked) }

  func check(_ asked: String) throws(APIError) {
    guard isNamed(asked) else { throw .unknown(asked, served: name) }
  }

  var listing: ModelListing {
    ModelListing(name: name, created: created, contextLimit: contextLimit)
  }
}
