import EventLoop
import Glibc
import Primitives
import Testing

@testable import Lifecycle

/// A watcher with a short debounce, and what it says.
///
/// That nothing is said is shown without waiting: another change, which must be noticed, is made
/// after the one that must not, and the first word is about the later one.
private final class Watch: Sendable {
  let events: AsyncStream<FileWatcher.Event>
  let watcher: FileWatcher
  private let control: Control

  /// With patience of a quarter of a second, which only some tests come to feel.
  init(_ paths: String..., quiet: TimeAmount = .milliseconds(5)) throws {
    control = try Control()
    let (events, pen) = AsyncStream<FileWatcher.Event>.makeStream()
    self.events = events
    watcher = try FileWatcher(
      loop: control.loop, quiet: quiet, patience: .milliseconds(250)
    ) { pen.yield($0) }
    watcher.watch(paths: paths)
  }

  func next() async -> FileWatcher.Event? {
    for await event in events { return event }
    return nil
  }
}

@Suite(.timeLimit(.minutes(1))) struct FileWatcherTests {
  // `echo >> file`, `sed -i` without a copy, `kubectl cp`: the inode stays.
  @Test func editInPlace() async throws {
    let folder = try Folder()
    folder.write("a.yaml", "one")
    let watch = try Watch(folder("a.yaml"))
    folder.write("a.yaml", "two")
    #expect(await watch.next() == .changed([folder("a.yaml")]))
    folder.write("a.yaml", "three")
    #expect(await watch.next() == .changed([folder("a.yaml")]))
  }

  // vim, emacs and configuration management write a new file and rename it: a watch on the old
  // inode would see the first change and none after it.
  @Test func replacedByRename() async throws {
    let folder = try Folder()
    folder.write("a.yaml", "0")
    let watch = try Watch(folder("a.yaml"))
    for text in ["1", "2", "3"] {
      folder.write("a.yaml.new", text)
      folder.rename("a.yaml.new", to: "a.yaml")
      #expect(await watch.next() == .changed([folder("a.yaml")]))
    }
  }

  // A ConfigMap: the file is a link through `..data`, which is a link that is swapped by rename, and
  // the old directory is deleted then.
  @Test func configMap() async throws {
    let folder = try Folder()
    func publish(_ version: String, _ text: String) {
      folder.makeDirectory("..\(version)")
      folder.write("..\(version)/a.yaml", text)
      folder.link("..data_tmp", to: "..\(version)")
      folder.rename("..data_tmp", to: "..data")
    }
    publish("1", "one")
    folder.link("a.yaml", to: "..data/a.yaml")
    let watch = try Watch(folder("a.yaml"))
    for version in 2...4 {
      publish("\(version)", "text \(version)")
      folder.deleteTree("..\(version - 1)")
      #expect(await watch.next() == .changed([folder("a.yaml")]))
    }
  }

  // A whole ConfigMap mounted as an included directory.
  @Test func configMapAsDirectory() async throws {
    let folder = try Folder()
    folder.makeDirectory("..1")
    folder.write("..1/a.yaml", "one")
    folder.link("..data", to: "..1")
    folder.link("a.yaml", to: "..data/a.yaml")
    let watch = try Watch(folder.path)
    folder.makeDirectory("..2")
    folder.write("..2/a.yaml", "two")
    folder.link("..data_tmp", to: "..2")
    folder.rename("..data_tmp", to: "..data")
    #expect(await watch.next() == .changed([folder.path]))
  }

  // A release directory behind a link elsewhere, as deployments do it, and an absolute target.
  @Test func linkOfADirectoryOnTheWay() async throws {
    let folder = try Folder()
    for version in ["1", "2"] {
      folder.makeDirectory(version)
      folder.write("\(version)/a.yaml", version)
    }
    folder.link("current", to: folder("1"))
    folder.makeDirectory("etc")
    folder.link("etc/portico", to: "../current")
    let watch = try Watch(folder("etc/portico/a.yaml"))
    folder.link("next", to: folder("2"))
    folder.rename("next", to: "current")
    #expect(await watch.next() == .changed([folder("etc/portico/a.yaml")]))
    // What the link now leads to is watched from here on.
    folder.write("2/a.yaml", "edited")
    #expect(await watch.next() == .changed([folder("etc/portico/a.yaml")]))
  }

  @Test func deletedAndCreatedAgain() async throws {
    let folder = try Folder()
    folder.write("a.yaml", "one")
    let watch = try Watch(folder("a.yaml"))
    folder.delete("a.yaml")
    #expect(await watch.next() == .changed([folder("a.yaml")]))
    folder.write("a.yaml", "two")
    #expect(await watch.next() == .changed([folder("a.yaml")]))
  }

  // With its directory, and that one's parent: nothing is left to hold a watch on the file.
  @Test func directoryDeletedAndCreatedAgain() async throws {
    let folder = try Folder()
    func create(_ text: String) {
      folder.makeDirectory("x")
      folder.makeDirectory("x/y")
      folder.write("x/y/a.yaml", text)
    }
    create("one")
    let watch = try Watch(folder("x/y/a.yaml"))
    folder.deleteTree("x")
    #expect(await watch.next() == .changed([folder("x/y/a.yaml")]))
    create("two")
    #expect(await watch.next() == .changed([folder("x/y/a.yaml")]))
  }

  // A directory on the way replaced as a whole: neither the file nor its directory sees an event.
  @Test func directoryReplaced() async throws {
    let folder = try Folder()
    for name in ["x", "z"] {
      folder.makeDirectory(name)
      folder.makeDirectory("\(name)/y")
      folder.write("\(name)/y/a.yaml", name)
    }
    let watch = try Watch(folder("x/y/a.yaml"))
    folder.rename("x", to: "old")
    folder.rename("z", to: "x")
    var event = await watch.next()
    #expect(event == .changed([folder("x/y/a.yaml")]))
    folder.write("x/y/a.yaml", "edited")
    event = await watch.next()
    #expect(event == .changed([folder("x/y/a.yaml")]))
  }

  // Watching may begin before there is anything.
  @Test func createdLater() async throws {
    let folder = try Folder()
    let watch = try Watch(folder("x/a.yaml"))
    folder.makeDirectory("x")
    folder.write("x/a.yaml", "one")
    #expect(await watch.next() == .changed([folder("x/a.yaml")]))
  }

  // Included directories change by files that come, go and are edited.
  @Test func includedDirectory() async throws {
    let folder = try Folder()
    folder.makeDirectory("conf.d")
    folder.write("conf.d/a.yaml", "one")
    let watch = try Watch(folder("conf.d"))
    folder.write("conf.d/b.yml", "")
    #expect(await watch.next() == .changed([folder("conf.d")]))
    folder.write("conf.d/a.yaml", "two")
    #expect(await watch.next() == .changed([folder("conf.d")]))
    folder.delete("conf.d/b.yml")
    #expect(await watch.next() == .changed([folder("conf.d")]))
    folder.rename("conf.d/a.yaml", to: "conf.d/c.yaml")
    #expect(await watch.next() == .changed([folder("conf.d")]))
  }

  // Touching, rewriting the same text, swapping to the same text, files of others: no reload.
  @Test func noChange() async throws {
    let folder = try Folder()
    folder.makeDirectory("conf.d")
    folder.write("conf.d/a.yaml", "one")
    folder.write("a.yaml", "one")
    folder.write("b.yaml", "one")
    let watch = try Watch(folder("a.yaml"), folder("b.yaml"), folder("conf.d"))
    // First, since it alone is empty for a moment; nothing makes the watcher look before its end.
    folder.write("a.yaml", "one")
    utimensat(AT_FDCWD, folder("a.yaml"), nil, 0)
    folder.write("new", "one")
    folder.rename("new", to: "a.yaml")
    folder.write("other.yaml", "noise")
    folder.write("conf.d/.a.yaml.swp", "noise")
    folder.write("conf.d/access.log", "noise")
    folder.write("b.yaml", "two")
    #expect(await watch.next() == .changed([folder("b.yaml")]))
  }

  // After a reload other files may matter, and those of before may not.
  @Test func watchedAnew() async throws {
    let folder = try Folder()
    folder.write("a.yaml", "one")
    folder.write("b.yaml", "one")
    let watch = try Watch(folder("a.yaml"))
    watch.watcher.watch(paths: [folder("b.yaml")])
    folder.write("a.yaml", "two")
    folder.write("b.yaml", "two")
    #expect(await watch.next() == .changed([folder("b.yaml")]))
  }

  // A change after the file was read and before it was watched would be lost until the next one.
  @Test func changedWhileLoading() async throws {
    let folder = try Folder()
    folder.write("a.yaml", "one")
    let watch = try Watch(quiet: .seconds(3_600))
    let loadedAt = FileWatcher.clock()
    folder.write("a.yaml", "two")
    watch.watcher.watch(paths: [folder("a.yaml")], loadedAt: loadedAt)
    #expect(await watch.next() == .changed([folder("a.yaml")]))
    // But a file that is known is told of once, even where the file system's clock is ahead; the
    // only word that is left to come is about the other one.
    folder.write("b.yaml", "one")
    watch.watcher.watch(paths: [folder("a.yaml"), folder("b.yaml")], loadedAt: loadedAt)
    #expect(await watch.next() == .changed([folder("b.yaml")]))
  }

  // Where something always happens there is never quiet: patience must end.
  @Test func patienceEnds() async throws {
    let folder = try Folder()
    folder.write("a.yaml", "one")
    let watch = try Watch(folder("a.yaml"), quiet: .seconds(3_600))
    folder.write("a.yaml", "two")
    #expect(await watch.next() == .changed([folder("a.yaml")]))
  }
}

@Suite struct DebounceTests {
  // Looking at each event loads a configuration that is half written; looking too late, none.
  @Test func bursts() {
    var debounce = Debounce(quiet: .milliseconds(100), patience: .milliseconds(250))
    func at(_ milliseconds: Int64) -> Instant { Instant.zero + .milliseconds(milliseconds) }
    #expect(debounce.due == nil)
    debounce.event(at: at(10))
    #expect(debounce.due == at(110))
    debounce.event(at: at(100))
    #expect(debounce.due == at(200))
    debounce.event(at: at(190))
    #expect(debounce.due == at(260))
    debounce.event(at: at(255))
    #expect(debounce.due == at(260))
    debounce.looked()
    #expect(debounce.due == nil)
    debounce.event(at: at(300))
    #expect(debounce.due == at(400))
  }
}

@Suite struct FileSurveyTests {
  // Links in a circle, and a path through a file: the walk must end and say that nothing is there.
  @Test func oddities() throws {
    let folder = try Folder()
    folder.link("a", to: "b")
    folder.link("b", to: "a")
    folder.write("file", "text")
    folder.link("empty", to: "..")
    let paths = ["a", "file/x", "none/x"].map { folder($0) }
    let survey = FileSurvey(paths)
    #expect(survey.sights[paths[0]]?.content == .unreadable)
    #expect(survey.sights[paths[1]]?.content == .unreadable)
    #expect(survey.sights[paths[2]]?.content == .missing)
    #expect(survey.interests[folder.path]?.names == ["a", "b", "file", "none"])
  }

  // Two ways to one file are one content, and `..` after a link leads out of the link's target.
  @Test func sameFile() throws {
    let folder = try Folder()
    folder.makeDirectory("x")
    folder.makeDirectory("x/y")
    folder.write("x/a.yaml", "text")
    folder.link("short", to: "x/y")
    let paths = ["x/a.yaml", "short/../a.yaml", "./x//y/./../a.yaml"].map { folder($0) }
    let survey = FileSurvey(paths)
    let contents = Set(paths.map { survey.sights[$0]!.content })
    #expect(contents.count == 1 && !contents.contains(.missing))
  }

  // A pipe with the name of a file must not stop the watcher's queue for ever.
  @Test func pipe() throws {
    let folder = try Folder()
    mkfifo(folder("pipe.yaml"), 0o644)
    let survey = FileSurvey([folder("pipe.yaml"), folder.path])
    #expect(survey.sights[folder("pipe.yaml")]?.content == .unreadable)
  }
}
