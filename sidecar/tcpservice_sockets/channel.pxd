# channel.py has no C types: asyncio calls its class as it calls any protocol. Compiled, its methods cost a third less.
