import Glibc
import Primitives
import Testing

@testable import Telemetry

/// A directory that is removed with everything in it.
private final class Scratch {
  let path: String

  init() {
    var template = Array("/tmp/portico-log-XXXXXX\0".utf8CString)
    path = String(cString: mkdtemp(&template))
  }

  deinit {
    guard let directory = opendir(path) else { return }
    while let entry = readdir(directory) {
      let name = withUnsafeBytes(of: entry.pointee.d_name) {
        String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { unlink("\(path)/\(name)") }
    }
    closedir(directory)
    rmdir(path)
  }

  func file(_ name: String) -> String { "\(path)/\(name)" }

  /// The lines of a file, without their line feeds; the last is empty when the file ends in one.
  func lines(_ name: String) -> [String] {
    let descriptor = open(file(name), O_RDONLY)
    defer { close(descriptor) }
    return Scratch.drain(descriptor).split(separator: "\n", omittingEmptySubsequences: false)
      .map(String.init)
  }

  static func drain(_ descriptor: Int32) -> String {
    var all: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 65_536)
    while true {
      let count = read(descriptor, &buffer, buffer.count)
      if count <= 0 { return String(decoding: all, as: UTF8.self) }
      all += buffer[..<count]
    }
  }
}

struct AccessLogWriterTests {
  private func put(_ count: Int, from first: Int = 0, to ring: AccessLogRing) {
    for number in first..<(first + count) {
      var request = LoggedRequest()
      request.requestID = Array("n\(number)".utf8)
      request.withTexts {
        ring.append(request.record, wall: 0, texts: $0, names: LoggedRequest.names)
      }
    }
  }

  private func number(_ line: String) -> Int? {
    guard line.hasPrefix("{"), line.hasSuffix("}") else { return nil }
    let parts = line.split(separator: "\"request_id\":\"n", maxSplits: 1)
    return parts.count == 2 ? Int(parts[1].prefix { $0 != "\"" }) : nil
  }

  // A restart must go on behind what is there, and two loops must not mix within a line.
  @Test func linesOfAllLoopsAreAppended() throws {
    let scratch = Scratch()
    let heard = HeardLines()
    for round in 0..<2 {
      let writer = try AccessLogWriter(
        to: .file(path: scratch.file("a.log")), loops: 2, log: heard.log())
      put(50, from: round * 100, to: writer.rings[0])
      put(50, from: round * 100 + 50, to: writer.rings[1])
      #expect(writer.close(within: .seconds(60)))
      #expect(writer.droppedLines == 0)
    }
    let lines = scratch.lines("a.log")
    #expect(lines.dropLast().map(number) == Array(0..<50) + Array(50..<100) + Array(100..<200))
    #expect(lines.last == "")
    #expect(heard.all == [])
  }

  // Nobody calls `flush` in production: the loop's wake-up alone must bring the line out.
  @Test func aLineArrivesByItself() throws {
    let scratch = Scratch()
    mkfifo(scratch.file("pipe"), 0o600)
    let reader = open(scratch.file("pipe"), O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    let writer = try AccessLogWriter(
      to: .file(path: scratch.file("pipe")), loops: 1, log: HeardLines().log())
    put(1, to: writer.rings[0])
    var waited = pollfd(fd: reader, events: Int16(POLLIN), revents: 0)
    #expect(poll(&waited, 1, 60_000) == 1)
    writer.close(within: .seconds(60))
    #expect(Scratch.drain(reader).split(separator: "\n").map { number(String($0)) } == [0])
  }

  // logrotate: move the file away, send SIGUSR1. No line is lost or torn, old lines stay in the old
  // file, new ones go to the new one.
  @Test func aRotationLosesNothing() throws {
    let scratch = Scratch()
    let heard = HeardLines()
    let path = scratch.file("a.log")
    let writer = try AccessLogWriter(to: .file(path: path), loops: 1, log: heard.log())
    put(10, to: writer.rings[0])
    writer.flush()
    rename(path, scratch.file("a.log.1"))
    put(10, from: 10, to: writer.rings[0])
    writer.flush()
    writer.reopen()
    put(10, from: 20, to: writer.rings[0])
    writer.flush()
    #expect(scratch.lines("a.log.1").dropLast().compactMap(number) == Array(0..<20))
    #expect(scratch.lines("a.log").dropLast().compactMap(number) == Array(20..<30))
    #expect(
      heard.all == ["2025-11-25T00:54:42.123Z info access log reopened to=\(path)\n"])
    writer.close(within: .seconds(60))
  }

  // The directory was removed in a rotation gone wrong: the old file is better than none.
  @Test func aFailedRotationKeepsTheOldFile() throws {
    let scratch = Scratch()
    let heard = HeardLines()
    mkdir(scratch.file("d"), 0o700)
    let path = scratch.file("d/a.log")
    let writer = try AccessLogWriter(to: .file(path: path), loops: 1, log: heard.log())
    rename(path, scratch.file("kept.log"))
    rmdir(scratch.file("d"))
    writer.reopen()
    put(3, to: writer.rings[0])
    writer.flush()
    #expect(scratch.lines("kept.log").dropLast().compactMap(number) == [0, 1, 2])
    #expect(
      heard.all == [
        "2025-11-25T00:54:42.123Z error access log: cannot open '\(path)': No such file or "
          + "directory; create its directory, or let Portico's user write there "
          + "still=\"the file opened before\"\n"
      ])
    writer.close(within: .seconds(60))
  }

  // The operator's mistake at the start, in words that say what to do.
  @Test func aFileThatCannotBeOpenedIsSaid() {
    #expect(
      throws: AccessLogError(path: "/nowhere/a.log", code: ENOENT)
    ) {
      try AccessLogWriter(to: .file(path: "/nowhere/a.log"), loops: 1, log: HeardLines().log())
    }
    #expect(
      AccessLogError(path: "/nowhere/a.log", code: ENOENT).description
        == "access log: cannot open '/nowhere/a.log': No such file or directory; "
        + "create its directory, or let Portico's user write there")
  }

  // A full disk: the loop goes on, lines beyond the ring are counted, the trouble is said once and
  // not per line, and what waited is written when there is room again.
  @Test func aFullDiskIsSurvived() throws {
    let scratch = Scratch()
    let heard = HeardLines()
    let path = scratch.file("a.log")
    symlink("/dev/full", path)
    let writer = try AccessLogWriter(
      to: .file(path: path), loops: 1, log: heard.log(), ringBytes: 32_768)
    put(1, to: writer.rings[0])
    for round in 0..<5 {
      writer.flush()
      put(100, from: 1 + round * 100, to: writer.rings[0])
    }
    let dropped = writer.droppedLines
    #expect(dropped > 300)
    #expect(
      heard.all == [
        "2025-11-25T00:54:42.123Z error access log cannot be written, lines are dropped when "
          + "32 KiB wait to=\(path) why=\"No space left on device\" dropped=0\n"
      ])
    unlink(path)
    writer.reopen()
    writer.flush()
    let lines = scratch.lines("a.log").dropLast().compactMap(number)
    #expect(lines == Array(0..<lines.count))
    #expect(UInt64(lines.count) + dropped == 501)
    #expect(
      heard.all.dropFirst() == [
        "2025-11-25T00:54:42.123Z info access log reopened to=\(path)\n",
        "2025-11-25T00:54:42.123Z info access log is written again to=\(path) "
          + "dropped=\(dropped)\n",
      ])
    #expect(writer.close(within: .seconds(60)))
  }

  // A disk still full at the end: the process must not hang, and must own up to what is lost.
  @Test func closingOnAFullDiskCountsWhatIsLost() throws {
    let writer = try AccessLogWriter(
      to: .file(path: "/dev/full"), loops: 2, log: HeardLines().log())
    put(7, to: writer.rings[0])
    put(5, to: writer.rings[1])
    #expect(!writer.close(within: .seconds(60)))
    #expect(writer.droppedLines == 12)
    put(1, to: writer.rings[0])
    writer.flush()
    writer.reopen()
    writer.flush()
  }

  // A line that was cut by a reader that stopped is completed when it reads on; nothing comes between
  // its halves, not even the other loop's lines.
  @Test func aCutLineIsCompletedFirst() throws {
    let scratch = Scratch()
    mkfifo(scratch.file("pipe"), 0o600)
    let reader = open(scratch.file("pipe"), O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    let writer = try AccessLogWriter(
      to: .file(path: scratch.file("pipe")), loops: 2, log: HeardLines().log())
    // A pipe takes 64 KiB: the lines of the second loop are cut somewhere.
    put(10, to: writer.rings[0])
    put(400, from: 10, to: writer.rings[1])
    writer.flush()
    put(10, from: 410, to: writer.rings[0])
    var text = ""
    // More than enough turns for the smallest pipe, of one page.
    for _ in 0..<100 {
      text += Scratch.drain(reader)
      writer.flush()
    }
    let numbers = text.split(separator: "\n").map { number(String($0)) }
    #expect(numbers == Array(0..<420))
    #expect(writer.close(within: .seconds(60)))
  }

  // A rotation while a line is cut: the new file begins with a whole line, and the cut one is counted.
  @Test func aCutLineDoesNotReachTheNextFile() throws {
    let scratch = Scratch()
    let path = scratch.file("a.log")
    mkfifo(path, 0o600)
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    defer { close(reader) }
    let writer = try AccessLogWriter(to: .file(path: path), loops: 1, log: HeardLines().log())
    put(400, to: writer.rings[0])
    writer.flush()
    unlink(path)
    writer.reopen()
    writer.flush()
    let old = Scratch.drain(reader).split(separator: "\n").map { number(String($0)) }
    let new = scratch.lines("a.log").dropLast().map(number)
    let whole = old.last == .some(nil) ? old.dropLast() : old[...]
    #expect(!new.isEmpty && !new.contains(nil))
    #expect(writer.droppedLines == UInt64(old.count - whole.count))
    #expect(
      whole.compactMap { $0 } + new.compactMap { $0 }
        == (0..<400).filter { $0 != whole.count || old.count == whole.count })
    writer.close(within: .seconds(60))
  }

  // `portico run | head`: the reader leaves. That is an error in the log, not the end of the process.
  @Test func aReaderThatLeavesIsSurvived() throws {
    let scratch = Scratch()
    let heard = HeardLines()
    let path = scratch.file("pipe")
    mkfifo(path, 0o600)
    let reader = open(path, O_RDONLY | O_NONBLOCK)
    let writer = try AccessLogWriter(to: .file(path: path), loops: 1, log: heard.log())
    close(reader)
    put(1, to: writer.rings[0])
    writer.flush()
    #expect(
      heard.all == [
        "2025-11-25T00:54:42.123Z error access log cannot be written, lines are dropped when "
          + "1024 KiB wait to=\(path) why=\"Broken pipe\" dropped=0\n"
      ])
    #expect(!writer.close(within: .seconds(60)))
  }
}
