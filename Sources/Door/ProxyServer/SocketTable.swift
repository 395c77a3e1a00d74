import CLinux
import Glibc
import Primitives

/// The sockets of a loop, each at the index of its connection's handle.
///
/// A reference without a class: the table stands behind one pointer, so that the loop and the
/// question "is it alive?" that it lends to its core share it without exclusivity checks or counts.
/// Belongs to one loop, which ends it with `close`.
struct SocketTable {
  private struct Header {
    var base: UnsafeMutablePointer<Socket>
    var capacity: Int
  }

  private let header: UnsafeMutablePointer<Header>

  init() {
    let capacity = 256
    header = .allocate(capacity: 1)
    header.initialize(to: Header(base: .allocate(capacity: capacity), capacity: capacity))
    header.pointee.base.initialize(repeating: Socket(), count: capacity)
  }

  /// Closes every descriptor and gives the memory back.
  func close() {
    for index in 0..<header.pointee.capacity {
      header.pointee.base[index].output.free()
      let descriptor = header.pointee.base[index].descriptor
      if descriptor >= 0 { _ = portico_close(descriptor) }
    }
    header.pointee.base.deallocate()
    header.deallocate()
  }

  /// The socket of a living connection. Good until another one is placed.
  subscript(handle: Handle) -> UnsafeMutablePointer<Socket>? {
    let index = Int(handle.index)
    guard index < header.pointee.capacity,
      header.pointee.base[index].generation == handle.generation
    else { return nil }
    return header.pointee.base + index
  }

  func place(_ handle: Handle, _ descriptor: Int32) -> UnsafeMutablePointer<Socket> {
    let index = Int(handle.index)
    if index >= header.pointee.capacity { grow(toHold: index) }
    let socket = header.pointee.base + index
    precondition(socket.pointee.descriptor < 0, "a socket's place was taken twice")
    socket.pointee.descriptor = descriptor
    socket.pointee.generation = handle.generation
    return socket
  }

  /// False when the kernel already knows that the peer has closed, or sent what nobody asked for.
  func isAlive(_ handle: Handle) -> Bool {
    guard let socket = self[handle], !socket.pointee.hungUp else { return false }
    return portico_peek(socket.pointee.descriptor) == -EAGAIN
  }

  private func grow(toHold index: Int) {
    let old = header.pointee
    var capacity = old.capacity
    while capacity <= index { capacity *= 2 }
    let larger = UnsafeMutablePointer<Socket>.allocate(capacity: capacity)
    larger.moveInitialize(from: old.base, count: old.capacity)
    (larger + old.capacity).initialize(repeating: Socket(), count: capacity - old.capacity)
    old.base.deallocate()
    header.pointee = Header(base: larger, capacity: capacity)
  }
}
