-- Takes out what was remembered long enough, so many at most. A purchase that is forgotten no longer counts for the user.
local function forget(most)
  local old = redis.call('ZRANGE', ended, '-inf', now, 'BYSCORE', 'LIMIT', 0, most)
  if #old == 0 then return 0 end
  for _, member in ipairs(old) do
    local product, user = string.match(member, '^bought (%S+) (%S+)$')
    if product then owner_of(product, user).sold = 0 end
  end
  redis.call('HDEL', holds, unpack(old))
  redis.call('ZREM', ended, unpack(old))
  return #old
end
-- Writes what the script has decided.
local function write_all()
  if #gone > 0 then redis.call('ZREM', due, unpack(gone)) end
  if #kept > 0 then
    redis.call('ZADD', ended, unpack(kept))
    forget(20)
  end
  for product, count in pairs(changed) do
    redis.call('HSET', stock, product, string.format('V1 %d %d %d', count.total, count.reserved, count.sold))
  end
  for name, owner in pairs(owners) do
    if owner.held + owner.sold > 0 then
      redis.call('HSET', users, name, string.format('%d %d', owner.held, owner.sold))
    else
      redis.call('HDEL', users, name)
    end
  end
  if #lines > 0 then redis.call('HSET', holds, unpack(lines)) end
end
