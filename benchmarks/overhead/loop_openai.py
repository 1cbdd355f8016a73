"""The usual agent loop: the openai client as everybody uses it."""

import json
import subprocess
import sys

from openai import OpenAI

client = OpenAI(api_key="x", base_url=f"http://127.0.0.1:{sys.argv[1]}/v1", max_retries=0)
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
    stream = client.chat.completions.create(model="kimi-k2.6", messages=messages, tools=[tool], stream=True)
    call = None
    for part in stream:
        for piece in (part.choices[0].delta.tool_calls or []) if part.choices else []:
            if piece.id:
                call = {
                    "id": piece.id,
                    "type": "function",
                    "function": {"name": piece.function.name, "arguments": ""},
                }
            call["function"]["arguments"] += piece.function.arguments or ""
    if call is None:
        break
    messages.append({"role": "assistant", "reasoning_content": "next", "tool_calls": [call]})
    command = json.loads(call["function"]["arguments"])["command"]
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    messages.append({"role": "tool", "tool_call_id": call["id"], "content": done.stdout})
