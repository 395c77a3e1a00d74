import HTTPServer
import Primitives

/// Limits and times of an embedding server. Each limit is named in the refusal that it causes.
package struct EmbedSettings: Sendable {
  /// What `/version` says.
  package var version = "0"
  /// Texts whose answers are not out. Count; one request is let in above it when there is no other.
  /// Four of the largest requests: a text of 256 tokens takes 60 ms of two slow cores.
  package var queueTexts = 8_192
  /// Tokens of one batch, all texts together. As the encoder was made for.
  package var batchTokens = 512
  /// Texts of a request. Count; OpenAI's limit.
  package var inputLimit = 2_048
  /// Bytes of a request's body. The largest request whose texts are not cut has about 2 MB of English.
  package var bodyBytes = 20 << 20
  /// Values within one body. Count; the largest request of token lists has half a million.
  package var valueLimit = 1_100_000
  /// Bodies up to this size are read on the loop, which takes about a millisecond; longer ones
  /// elsewhere. Bytes.
  package var inlineBytes = 8 << 10
  /// Bytes of bodies that wait to be read elsewhere.
  package var preparingBytes = 64 << 20
  /// Floats of an answer up to which it is written on the loop, which takes about a millisecond.
  package var inlineFloats = 8_192
  /// Retry-After of a full queue and while weights are loaded. Seconds; a batch takes tenths of one.
  package var retrySeconds = 1
  /// A batch runs for so long: `/ready` says so.
  package var stallLimit = TimeAmount.seconds(60)
  /// `drain` gives up what still runs after this. Less than the 30 s that Kubernetes grants.
  package var drainLimit = TimeAmount.seconds(25)

  package init() {}

  /// What the HTTP server before it must allow and forbid.
  package var httpLimits: HTTPServerLimits {
    var limits = HTTPServerLimits()
    limits.bodyBytes = bodyBytes
    // Vectors that nobody reads cost the others time.
    limits.leavingAborts = true
    return limits
  }
}
