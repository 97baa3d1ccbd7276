"""Keys at the broker that belong to whoever's value stands in them, which Redis checks by itself.

Each script answers 0 and does nothing where another value, or none, stands there.
"""

RENEW = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""
"""The key lasts so many milliseconds from now on."""
RELEASE = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""
"""The key is gone."""
