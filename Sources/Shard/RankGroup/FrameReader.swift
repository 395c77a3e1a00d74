/// Cuts a stream of bytes into messages. Holds one unfinished message at most, and no more than that
/// message's limit.
struct FrameReader<Message: EngineMessage> {
  private var bytes: [UInt8] = []
  private var start = 0

  mutating func receive(_ new: UnsafeRawBufferPointer) {
    // What was taken is dropped here, once for many messages.
    bytes.removeFirst(start)
    start = 0
    bytes.append(contentsOf: new)
  }

  /// True between messages.
  var isEmpty: Bool { start == bytes.count }

  /// The next whole message; nil when its end has not come yet.
  mutating func next() throws(MalformedMessage) -> Message? {
    let message = try bytes.decodeFrame(from: start, Message.self)
    start = message?.end ?? start
    return message?.message
  }
}

extension [UInt8] {
  fileprivate func decodeFrame<Message: EngineMessage>(
    from start: Int, _: Message.Type
  ) throws(MalformedMessage) -> (message: Message, end: Int)? {
    guard count - start >= 4 else { return nil }
    let length =
      Int(self[start]) | Int(self[start + 1]) << 8 | Int(self[start + 2]) << 16
      | Int(self[start + 3]) << 24
    guard (1...Message.limitBytes).contains(length) else {
      throw MalformedMessage("a message says that it has \(length) bytes")
    }
    let end = start + 4 + length
    guard count >= end else { return nil }
    let result: Result<Message, MalformedMessage> = withUnsafeBytes { all in
      var reader = ByteReader(UnsafeRawBufferPointer(rebasing: all[(start + 4)..<end]))
      do throws(MalformedMessage) {
        let message = try Message(kind: try reader.read(), from: &reader)
        try reader.finish()
        return .success(message)
      } catch {
        return .failure(error)
      }
    }
    return (try result.get(), end)
  }
}
