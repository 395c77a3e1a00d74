import HTTP
import HTTP1
import HTTP2
import Primitives

/// What an answer of HTTP/2 says in HTTP/1.1, for the strict parser to judge like any other.
package enum AnswerText {
  /// Writes the head into the arena of a gather, and room behind it.
  ///
  /// - Parameters:
  ///   - length: of the body, where it is known and the head does not say it itself; nil where it goes
  ///     on: then it ends where the stream does.
  ///   - answersHead: no body belongs to it.
  /// - Returns: head and body, good as long as the turn; nil when it is none.
  package static func write(
    _ head: HTTP2Head, _ text: UnsafeRawBufferPointer, length: Int?, answersHead: Bool, room: Int,
    into gather: inout Gather, body: (UnsafeMutableRawBufferPointer) -> Int
  ) -> UnsafeRawBufferPointer? {
    let status = head.status.bytes(in: text)
    guard !head.isTooLarge, status.count == 3 else { return nil }
    let memory = gather.reserve(text.count + 128 + room)
    var writer = ArenaWriter(memory)
    writer.put("HTTP/1.1 ")
    writer.put(status)
    writer.put(" \r\n")
    writer.put(head.lines.bytes(in: text))
    let hasNone =
      answersHead || status[0] == 0x31 || status.elementsEqual("204".utf8)
      || status.elementsEqual("304".utf8)
    if let length, !hasNone, !head.hasContentLength {
      writer.put("content-length: ")
      writer.put(decimal: length)
      writer.put("\r\n")
    }
    writer.put("\r\n")
    let filled = body(UnsafeMutableRawBufferPointer(rebasing: memory[writer.count...]))
    return gather.keep(writer.count + filled)
  }
}
