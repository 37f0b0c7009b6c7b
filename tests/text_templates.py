"""Chat templates in the manner of the models in use, and chats to put through them."""

from text_samples import SENTENCES

SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou are helpful<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEMPLATES = {
    "smollm": SMOLLM,
    "llama-2": (
        "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
        "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
        "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
        "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('Conversation roles must alternate') }}{% endif %}"
        "{% if loop.index0 == 0 and system_message != false %}"
        "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
        "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
        "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}"
        "{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}"
    ),
    "llama-3": """\
{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- if not date_string is defined %}
    {%- set date_string = "26 Jul 2024" %}
{%- endif %}
{#- The system message comes first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{{- system_message }}
{{- "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}
        {{- message['content'] | trim + '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
    "mistral": """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.tool_calls is defined and (message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, roles must alternate") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported") }}
    {%- endif %}
{%- endfor %}
""",
    "qwen-3": """\
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and
        not(message.content.startswith('<t>') and message.content.endswith('</t>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if message.role == "assistant" and '</think>' in content %}
        {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {{- '<|im_start|>' ~ message.role ~ '\\n<think>\\n' ~ reasoning.strip('\\n') ~ '\\n</think>\\n\\n' ~ content }}
    {%- else %}
        {{- '<|im_start|>' + message.role + '\\n' + content }}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}
""",
    "odds and ends": """\
{% macro turn(role, text='none') %}<{{ role|upper }}>{{ caller() if caller else text }}</{{ role|title }}>{% endmacro %}
{% for m in messages if m.role != 'system' %}
  {% generation %}{{ turn(m.role, m.content) }}{% endgeneration %}
  {% call turn('x') %}{{ loop.index }}/{{ loop.length }} {{ loop.revindex }} {{ loop.cycle('a', 'b') }}{% endcall %}
  {% if loop.index > 3 %}{% break %}{% else %}{% continue %}{% endif %}
{% else %}empty
{% endfor %}
{{ messages|tojson }} {{ messages|map(attribute='role')|unique|join(', ') }} {{ undefined }}
{{ {'a': [1, 2.5, none, true]}|tojson(indent=2) }} {{ messages|length }} {{ [3, 1, 2]|sort|list }}
{{ 7 // 2 + 2 ** 5 % 3 * -1 }} {{ 'x' * 3 }} {{ [1] + [2] }} {{ 'a-b'.replace('-', '+')|upper }}
{% set block %}kept {{ messages[0].content[:5] }}{% endset %}{{ block|indent(2) }}
{{ messages[-1]['content']|replace('a', 'A')|trim|default('no') }} {{ '1'|int + 1 }} {{ none }} {{ true }}
{% filter upper %}shout {{ dict(a=1).items()|list }}{% endfilter %}{% raw %}{{ raw }}{% endraw %} {{ range(3)|list }}
{% with x = 1 %}{{ x if x is odd else 'even' }}{% endwith %} {{ 'user' in messages|map(attribute='role') }}
{{ '<b>'|e }} {{ '<b>' | safe }} {{ tools is none }} {{ ', '.join(['a', 'b']) }} {{ 'a b'.split() }}
{{ "a" ~ 1 ~ none }} {{ ("a", "b")|first }}
""",
}
CHATS: list[list[dict[str, str]]] = [
    [{"role": "user", "content": "Which is the capital of Bulgaria?"}],
    [{"role": "system", "content": "Be brief.\n"}, {"role": "user", "content": "  Grüße, 世界 <b>&amp;</b> 'it''s'  "}],
    [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "<think>\nhm\n</think>\n\nb"},
        {"role": "user", "content": "{{ messages }} {% if %}\r\n\n"},
    ],
    [{"role": role, "content": text} for role, text in zip(["user", "assistant"] * 7, SENTENCES, strict=False)],
]
