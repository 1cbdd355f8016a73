"""The floor: the least agent loop there is, over http.client."""

import http.client
import json
import subprocess
import sys

port = int(sys.argv[1])
connection = http.client.HTTPConnection("127.0.0.1", port)
tool = {
    "type": "function",
    "function": {
        "name": "shell",
        "description": "Run a command.",
        "parameters": {
            "type": "object",
            "properties": {"command": {"type": "string"}},
            "required": ["command"],
        },
    },
}
messages = [{"role": "system", "content": "You are an agent."}, {"role": "user", "content": "Do it."}]
while True:
    body = {"model": "kimi-k2.6", "messages": messages, "tools": [tool], "stream": True}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    response = connection.getresponse()
    call = None
    text = ""
    for line in response:
        if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
            continue
        delta = json.loads(line[6:])["choices"][0]["delta"]
        text += delta.get("content") or ""
        for part in delta.get("tool_calls") or []:
            if "id" in part:
                call = {"id": part["id"], "type": "function", "function": dict(part["function"])}
            else:
                call["function"]["arguments"] += part["function"]["arguments"]
    if call is None:
        break
    messages.append({"role": "assistant", "reasoning_content": "next", "tool_calls": [call]})
    command = json.loads(call["function"]["arguments"])["command"]
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    messages.append({"role": "tool", "tool_call_id": call["id"], "content": done.stdout})
