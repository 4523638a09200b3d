"""How well learning chooses: plays of the production decision against worlds that are known."""
