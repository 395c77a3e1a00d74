"""The openai client with an API key: what it makes of the front door's answers.

Prints a line for each thing that came as it should; ends with a traceback at the first that did not.
"""

import sys

import openai


def main(base_url, key):
    messages = [{"role": "user", "content": "hello"}]

    client = openai.OpenAI(base_url=base_url, api_key=key, max_retries=0)
    answer = client.chat.completions.with_raw_response.create(model="mock", messages=messages)
    assert answer.headers["x-ratelimit-limit-requests"] == "3", answer.headers
    assert answer.headers["x-ratelimit-remaining-requests"] == "2", answer.headers
    assert answer.parse().usage.total_tokens > 0
    print("answered")

    pieces = [
        event.choices[0].delta.content
        for event in client.chat.completions.create(model="mock", messages=messages, stream=True)
        if event.choices
    ]
    assert len("".join(piece or "" for piece in pieces)) > 0
    print("streamed")

    try:
        client.chat.completions.create(model="forbidden", messages=messages)
    except openai.PermissionDeniedError as error:
        assert error.code == "model_not_allowed", error
        print("model denied")

    client.chat.completions.create(model="mock", messages=messages)
    try:
        client.chat.completions.create(model="mock", messages=messages)
    except openai.RateLimitError as error:
        assert error.code == "key_request_rate", error
        assert int(error.response.headers["retry-after"]) > 1000, error.response.headers
        print("over the rate")

    stranger = openai.OpenAI(base_url=base_url, api_key="sk-nobody", max_retries=0)
    try:
        stranger.models.list()
    except openai.AuthenticationError as error:
        assert error.code == "credentials_invalid", error
        print("unknown")


main(*sys.argv[1:])
