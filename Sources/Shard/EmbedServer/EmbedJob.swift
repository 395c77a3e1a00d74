import Primitives

/// A request whose vectors are being made. Lives on the server's loop.
final class EmbedJob {
  let request: EmbedRequest
  let reply: any EmbedReply
  let start: Instant
  /// Texts that are in a batch already, and those that are back.
  var taken = 0
  var done = 0
  /// All of the request's, `size` floats a text.
  var vectors: [Float]
  /// Its answer is out, or its client has left.
  var isOver = false

  init(_ request: EmbedRequest, _ reply: any EmbedReply, size: Int, start: Instant) {
    self.request = request
    self.reply = reply
    self.start = start
    vectors = [Float](repeating: 0, count: request.count * size)
  }

  /// The next text that is in no batch.
  var nextText: ArraySlice<Int32>? {
    taken < request.count ? request.text(taken) : nil
  }
}
