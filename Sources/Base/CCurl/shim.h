#pragma once
#include <curl/curl.h>
#include <stdint.h>

// curl's option setters are variadic and its checks are macros: neither is visible to Swift.
static inline CURLcode portico_curl_global_init(void) {
  return curl_global_init(CURL_GLOBAL_DEFAULT);
}

static inline CURLcode portico_curl_set_long(CURL *easy, CURLoption option, long value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode portico_curl_set_pointer(CURL *easy, CURLoption option, void *value) {
  return curl_easy_setopt(easy, option, value);
}
static inline CURLcode portico_curl_set_string(CURL *easy, CURLoption option, const char *value) {
  return curl_easy_setopt(easy, option, value);
}
// Called with every piece of a body; `context` is its last argument.
static inline CURLcode portico_curl_on_body(CURL *easy, curl_write_callback call, void *context) {
  CURLcode r = curl_easy_setopt(easy, CURLOPT_WRITEDATA, context);
  return r ? r : curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, call);
}
// Called with every line of a head and of trailers; `context` is its last argument.
static inline CURLcode portico_curl_on_field(CURL *easy, curl_write_callback call, void *context) {
  CURLcode r = curl_easy_setopt(easy, CURLOPT_HEADERDATA, context);
  return r ? r : curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, call);
}
// A body to be sent with POST; libcurl copies it.
static inline CURLcode portico_curl_post(CURL *easy, const void *bytes, long count) {
  CURLcode r = curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, count);
  return r ? r : curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, bytes);
}
static inline CURLcode portico_curl_get_long(CURL *easy, CURLINFO info, long *value) {
  return curl_easy_getinfo(easy, info, value);
}
// For the infos that end in _T: microseconds and bytes.
static inline CURLcode portico_curl_get_int64(CURL *easy, CURLINFO info, int64_t *value) {
  curl_off_t v = 0;
  CURLcode r = curl_easy_getinfo(easy, info, &v);
  *value = v;
  return r;
}
// What was set as CURLOPT_PRIVATE.
static inline void *portico_curl_private(CURL *easy) {
  char *value = NULL;
  curl_easy_getinfo(easy, CURLINFO_PRIVATE, &value);
  return value;
}

// Whom the multi handle tells which descriptors to watch, and when it wants to be called.
static inline CURLMcode portico_curl_multi_callbacks(CURLM *multi, curl_socket_callback on_socket,
                                                     curl_multi_timer_callback on_timer,
                                                     void *context) {
  CURLMcode r = curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
  if (!r) r = curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, context);
  if (!r) r = curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
  if (!r) r = curl_multi_setopt(multi, CURLMOPT_TIMERDATA, context);
  return r;
}
// The next transfer that has ended, with its result; NULL when there is none.
static inline CURL *portico_curl_multi_next_done(CURLM *multi, CURLcode *result) {
  int left;
  CURLMsg *message;
  while ((message = curl_multi_info_read(multi, &left)))
    if (message->msg == CURLMSG_DONE) {
      *result = message->data.result;
      return message->easy_handle;
    }
  return NULL;
}
