"""The retail world model: raw transactions to typed weeks to baskets."""
