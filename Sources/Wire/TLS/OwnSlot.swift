import COpenSSL

/// Where OpenSSL keeps our pointer for us, on sessions and on contexts. Not retained: who put it
/// there outlives the object.
enum OwnSlot {
  /// OpenSSL leaves the first one to the application (`SSL_set_app_data`).
  private static let index: Int32 = 0

  static func put(_ session: TLSSession, in ssl: OpaquePointer) {
    SSL_set_ex_data(ssl, index, Unmanaged.passUnretained(session).toOpaque())
  }

  static func session(_ ssl: OpaquePointer?) -> TLSSession? {
    SSL_get_ex_data(ssl, index).map {
      Unmanaged<TLSSession>.fromOpaque($0).takeUnretainedValue()
    }
  }

  static func put(_ context: TLSServerContext, in pointer: OpaquePointer) {
    SSL_CTX_set_ex_data(pointer, index, Unmanaged.passUnretained(context).toOpaque())
  }

  static func context(_ pointer: OpaquePointer?) -> TLSServerContext? {
    SSL_CTX_get_ex_data(pointer, index).map {
      Unmanaged<TLSServerContext>.fromOpaque($0).takeUnretainedValue()
    }
  }
}
